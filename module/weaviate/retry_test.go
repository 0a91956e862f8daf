package prism

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"prism.local/weaviate/prismv1"
)

// offline is a client without a connection, for calls that need none.
func offline() *client {
	log, _ := test.NewNullLogger()
	return &client{environment: environment{address: "prism:8091"}, outage: outage{log: log}}
}

func within(timeout, retries time.Duration, retried []codes.Code) limits {
	return limits{limit{timeout, "TIMEOUT"}, limit{retries, "RETRIES"}, retried}
}

// answering fails with err until some time has passed.
func answering(err error, until time.Duration, calls *int) method[prismv1.VectorizeRequest, prismv1.VectorizeResponse] {
	start := time.Now()
	return func(ctx context.Context, _ *prismv1.VectorizeRequest, _ ...grpc.CallOption) (*prismv1.VectorizeResponse, error) {
		*calls++
		if time.Since(start) < until {
			return nil, err
		}
		return &prismv1.VectorizeResponse{}, ctx.Err()
	}
}

func TestACallOutlivesLoadingModelsAndAFullQueue(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.ResourceExhausted} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			invoke := answering(status.Error(code, "not now"), 30*time.Second, &calls)
			_, err := withRetries(t.Context(), offline(), "test", within(50*time.Second, 50*time.Second, busy), invoke, document)
			if err != nil || calls < 10 || calls > 60 {
				t.Errorf("%s: %d calls, %v", code, calls, err)
			}
		})
	}
}

func TestTheDeadlineEndsRetriesAndTellsTheReason(t *testing.T) {
	const address = "PRISM_MODULE_ADDRESS=prism:8091"
	refused := `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:8091: connect: connection refused"`
	for _, each := range []struct {
		timeout, retries time.Duration
		message, want    string
	}{
		{8 * time.Second, time.Hour, "models are loading", "the Prism at " + address + " takes no calls for 8s: models are loading"}, // by Weaviate's limit
		{8 * time.Second, 8 * time.Second, refused, "no Prism at " + address + " for 8s (RETRIES): connection refused"},
		{time.Hour, 8 * time.Second, refused, "no Prism at " + address + " for 8s (RETRIES): connection refused"},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls, start := 0, time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			defer cancel()
			invoke := answering(status.Error(codes.Unavailable, each.message), time.Hour, &calls)
			_, err := withRetries(ctx, offline(), "test", within(each.timeout, each.retries, unavailable), invoke, document)
			if err == nil || err.Error() != each.want || codeOf(err) != codes.DeadlineExceeded {
				t.Error(err)
			}
			if took := time.Since(start); took != 8*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestOtherErrorsAreFinal(t *testing.T) {
	for _, err := range []error{
		status.Error(codes.InvalidArgument, "no items"),
		status.Error(codes.ResourceExhausted, "trying to send message larger than max (3 vs. 2)"),
		status.Error(codes.ResourceExhausted, "CLIENT: Received message larger than max (3 vs. 2)"),
	} {
		calls := 0
		_, got := withRetries(t.Context(), offline(), "test", within(time.Minute, time.Minute, busy), answering(err, time.Hour, &calls), document)
		if got == nil || calls != 1 {
			t.Errorf("%v: %d calls, %v", err, calls, got)
		}
	}
}

func TestAQueryDoesNotWaitForRoomInTheQueue(t *testing.T) {
	fake := &fakeService{before: func(context.Context, *prismv1.VectorizeRequest) error {
		return status.Error(codes.ResourceExhausted, "the queue is full")
	}}
	c := fake.served(t)
	_, err := c.vectorize(t.Context(), &prismv1.VectorizeRequest{Task: prismv1.Task_TASK_QUERY})
	if err == nil || len(fake.asked()) != 1 {
		t.Errorf("%d calls, %v", len(fake.asked()), err)
	}
}

func TestAnAnswerMayTakeLongerThanRetriesMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, _ *prismv1.VectorizeRequest, _ ...grpc.CallOption) (*prismv1.VectorizeResponse, error) {
			time.Sleep(30 * time.Second)
			return &prismv1.VectorizeResponse{}, ctx.Err()
		}
		if _, err := withRetries(t.Context(), offline(), "test", within(50*time.Second, time.Second, unavailable), slow, document); err != nil {
			t.Error(err)
		}
	})
}
