package prism

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"prism.local/weaviate/prismv1"
)

func TestTheLogTellsOfAnOutageOncePerTimeAndNotPerCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offline()
		log, entries := test.NewNullLogger()
		c.outage.log = log
		refused := status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial unix /a b: connect: connection refused"`)
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				count := 0
				_, err := withRetries(t.Context(), c, "test", within(time.Minute, time.Minute, busy), answering(refused, 25*time.Second, &count), document)
				if err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		var told []string
		for _, entry := range entries.AllEntries() {
			told = append(told, entry.Level.String()+": "+entry.Message)
		}
		if len(told) != 4 || !strings.HasPrefix(told[0], "warning: no Prism at PRISM_MODULE_ADDRESS=prism:8091: connection refused; calls wait") ||
			!strings.HasPrefix(told[2], "warning: ") || !strings.HasPrefix(told[3], "info: the Prism at prism:8091 answers calls again, after 25") {
			t.Error(strings.Join(told, "\n"))
		}
	})
}

func TestAnAbsentServiceIsToldInTheSameWordsToAllCalls(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	c := dial(t, environment{address: address, timeout: 300 * time.Millisecond, queryTimeout: 200 * time.Millisecond})
	absent := "no Prism at PRISM_MODULE_ADDRESS=" + address + " for %s: connection refused"
	short := fmt.Sprintf(absent, "200ms (PRISM_MODULE_QUERY_TIMEOUT)")
	if _, err := c.vectorize(t.Context(), &prismv1.VectorizeRequest{Task: prismv1.Task_TASK_QUERY}); err == nil || err.Error() != short {
		t.Error(err)
	}
	if _, err := c.rerank(t.Context(), &prismv1.RerankRequest{}); err == nil || err.Error() != short {
		t.Error(err)
	}
	got := run(c, films(1), nil, titles)["title"].errs[0]
	if long := fmt.Sprintf(absent, "300ms (PRISM_MODULE_TIMEOUT)"); got == nil || !strings.HasSuffix(got.Error(), ": title: "+long) {
		t.Error(got)
	}
}

func TestAnAnswerThatIsLateAfterAnOutageTellsOfBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		invoke := func(ctx context.Context, _ *prismv1.VectorizeRequest, _ ...grpc.CallOption) (*prismv1.VectorizeResponse, error) {
			if calls++; calls == 1 {
				return nil, status.Error(codes.Unavailable, "it restarts")
			}
			<-ctx.Done()
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		_, err := withRetries(t.Context(), offline(), "test", within(time.Minute, time.Minute, busy), invoke, document)
		if err == nil || err.Error() != "Prism did not answer within 1m0s (TIMEOUT) (before: it restarts)" {
			t.Error(err)
		}
	})
}

func TestTheStartFailsAtOnceAtTheHTTPPort(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	startFails(t, server.Listener.Addr().String(), " answers in HTTP/1.1: it wants Prism's gRPC port (8091 by default)")
}

func TestTheStartFailsAtOnceForTLSWithAServiceWithoutIt(t *testing.T) {
	t.Setenv(variableTLS, "true")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	(&fakeService{}).serveOn(t, listener)
	startFails(t, listener.Addr().String(), "TLS is on (PRISM_MODULE_TLS*), but the Prism at "+listener.Addr().String()+" speaks none (--tls-cert)")
}

func startFails(t *testing.T, address, want string) {
	t.Helper()
	t.Setenv(variableAddress, address)
	log, _ := test.NewNullLogger()
	start := time.Now()
	_, err := connect(t.Context(), log)
	if err == nil || !strings.Contains(err.Error(), want) || time.Since(start) > metaTimeout {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}
