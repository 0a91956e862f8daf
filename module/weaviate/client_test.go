package prism

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/weaviate/weaviate/entities/modulecapabilities"

	"prism.local/weaviate/prismv1"
)

var document = &prismv1.VectorizeRequest{
	Task:    prismv1.Task_TASK_DOCUMENT,
	Targets: []*prismv1.Target{{}},
	Items:   []*prismv1.Item{{Parts: []*prismv1.Part{textPart("storm")}}},
}

func TestQueriesHaveAShorterDeadlineThanDocuments(t *testing.T) {
	left := map[prismv1.Task]time.Duration{}
	fake := &fakeService{before: func(ctx context.Context, request *prismv1.VectorizeRequest) error {
		deadline, _ := ctx.Deadline()
		left[request.Task] = time.Until(deadline)
		return nil
	}}
	path := socket(t)
	fake.listen(t, path)
	c := dial(t, environment{address: "unix://" + path, timeout: time.Hour, queryTimeout: time.Minute})
	for _, task := range []prismv1.Task{prismv1.Task_TASK_DOCUMENT, prismv1.Task_TASK_QUERY} {
		if _, err := c.vectorize(t.Context(), &prismv1.VectorizeRequest{Task: task}); err != nil {
			t.Fatal(err)
		}
	}
	if got := left[prismv1.Task_TASK_DOCUMENT]; got > time.Hour || got < 50*time.Minute {
		t.Errorf("documents: %s", got)
	}
	if got := left[prismv1.Task_TASK_QUERY]; got > time.Minute || got < 50*time.Second {
		t.Errorf("queries: %s", got)
	}
}

func TestAServiceThatHangsIsGivenUpAtTheDeadline(t *testing.T) {
	fake := &fakeService{before: func(ctx context.Context, _ *prismv1.VectorizeRequest) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	path := socket(t)
	fake.listen(t, path)
	c := dial(t, environment{address: "unix://" + path, timeout: 50 * time.Millisecond})
	if _, err := c.vectorize(t.Context(), document); err == nil || !strings.HasSuffix(err.Error(), "did not answer within 50ms (PRISM_MODULE_TIMEOUT)") {
		t.Error(err)
	}
}

func TestACallOutlivesARestartAndKeepsItsPayload(t *testing.T) {
	path := socket(t)
	first := &fakeService{}
	arrived := make(chan struct{})
	first.before = func(ctx context.Context, _ *prismv1.VectorizeRequest) error {
		close(arrived)
		<-ctx.Done() // killed in the middle of the call
		return ctx.Err()
	}
	first.listen(t, path)
	c := dial(t, environment{address: "unix://" + path})
	media := strings.Repeat("x", 5<<20) // far above the 256 kB that gRPC keeps for its own retries
	type result struct {
		response *prismv1.VectorizeResponse
		err      error
	}
	done := make(chan result)
	go func() {
		response, err := c.vectorize(context.Background(), &prismv1.VectorizeRequest{
			Task: prismv1.Task_TASK_DOCUMENT, Targets: []*prismv1.Target{{}},
			Items: []*prismv1.Item{{Parts: []*prismv1.Part{{Content: &prismv1.Part_Data{Data: []byte(media)}}}}},
		})
		done <- result{response, err}
	}()
	<-arrived
	first.server.Stop()
	_ = os.Remove(path)
	second := &fakeService{}
	second.listen(t, path)
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	if asked := second.asked(); len(asked) != 1 || string(asked[0].Items[0].Parts[0].GetData()) != media {
		t.Error("the second service did not get the payload")
	}
}

func TestAServiceThatIsAbsentFailsMetaAtOnceAndCallsAtTheDeadline(t *testing.T) {
	c := dial(t, environment{address: "unix://" + socket(t), queryTimeout: 50 * time.Millisecond})
	start := time.Now()
	if _, err := c.meta(); err == nil || !strings.Contains(err.Error(), "Unavailable") {
		t.Error(err)
	}
	if waited := time.Since(start); waited > metaTimeout {
		t.Errorf("meta took %s", waited)
	}
	if _, err := c.vectorize(t.Context(), &prismv1.VectorizeRequest{Task: prismv1.Task_TASK_QUERY}); err == nil ||
		!strings.HasPrefix(err.Error(), "no Prism at PRISM_MODULE_ADDRESS=unix:///") ||
		!strings.HasSuffix(err.Error(), " for 50ms (PRISM_MODULE_QUERY_TIMEOUT): no such file or directory") {
		t.Error(err)
	}
}

func TestMetaTellsVersionReadinessAndModels(t *testing.T) {
	c := (&fakeService{}).served(t)
	meta, err := c.meta()
	if err != nil {
		t.Fatal(err)
	}
	model := meta["models"].([]map[string]any)[0]
	if meta["version"] != "1.2.3" || meta["ready"] != true || model["name"] != "fake" || model["revision"] != "abc" {
		t.Errorf("%v", meta)
	}
}

func TestTheTraceContextTravels(t *testing.T) {
	before := otel.GetTextMapPropagator()
	otel.SetTextMapPropagator(propagation.TraceContext{})
	t.Cleanup(func() { otel.SetTextMapPropagator(before) })
	fake := &fakeService{}
	c := fake.served(t)
	id := trace.TraceID{1, 2, 3}
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{4}}))
	if _, err := c.vectorize(ctx, document); err != nil {
		t.Fatal(err)
	}
	if got := fake.metadata[0].Get("traceparent"); len(got) != 1 || !strings.Contains(got[0], id.String()) {
		t.Errorf("%v", got)
	}
}

// connected runs connect with an environment of its own, and forgets the shared client afterwards.
func connected(t *testing.T, ctx context.Context, path string, log logrus.FieldLogger) (*client, error) {
	t.Helper()
	t.Setenv(variableAddress, "unix://"+path)
	c, err := connect(ctx, log)
	t.Cleanup(func() {
		if c != nil {
			_ = c.close()
		}
	})
	return c, err
}

func TestBothModulesShareOneConnection(t *testing.T) {
	path := socket(t)
	(&fakeService{}).listen(t, path)
	log, _ := test.NewNullLogger()
	one, err := connected(t, t.Context(), path, log)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := connect(t.Context(), log); err != nil || one != two {
		t.Errorf("%p and %p, %v", one, two, err)
	}
	if err := one.close(); err != nil {
		t.Error(err)
	}
	if err := one.close(); err != nil { // by the other module
		t.Error(err)
	}
	for _, module := range []modulecapabilities.ModuleWithClose{&vectorizer{}, &reranker{}} {
		if err := module.Close(); err != nil { // that was never initialised
			t.Error(err)
		}
	}
}

func TestTheStartWaitsForTheServiceWithAWarning(t *testing.T) {
	path := socket(t)
	fake := &fakeService{}
	fake.listen(t, path)
	fake.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	log, entries := test.NewNullLogger()
	go func() {
		for len(entries.AllEntries()) == 0 {
			time.Sleep(time.Millisecond)
		}
		fake.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	}()
	if _, err := connected(t, t.Context(), path, log); err != nil {
		t.Fatal(err)
	}
	if all := entries.AllEntries(); len(all) != 1 || !strings.Contains(all[0].Message, "NOT_SERVING") {
		t.Errorf("%v", all)
	}
}

func TestTheStartFailsWithAClearMessage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	log, _ := test.NewNullLogger()
	_, err := connected(t, ctx, socket(t), log)
	for _, want := range []string{"PRISM_MODULE_ADDRESS=unix:///", "no such file", "PRISM_MODULE_WAIT_FOR_STARTUP=false"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestTheStartNeedNotWait(t *testing.T) {
	t.Setenv(variableWait, "false")
	t.Setenv("PRISM_MODULE_TIMOUT", "1s")
	log, entries := test.NewNullLogger()
	c, err := connected(t, t.Context(), socket(t), log)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.requireService(t.Context(), vectorizerService, "--embedder"); err != nil {
		t.Error(err)
	}
	if all := entries.AllEntries(); len(all) != 1 || !strings.Contains(all[0].Message, "PRISM_MODULE_TIMOUT") {
		t.Errorf("the unknown variable is not warned of: %v", all)
	}
}

func TestTheStartFailsForAServiceWithoutTheModel(t *testing.T) {
	path := socket(t)
	fake := &fakeService{}
	fake.listen(t, path)
	fake.health.SetServingStatus(vectorizerService, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	c := dial(t, environment{address: "unix://" + path, wait: true})
	if err := c.requireService(t.Context(), rerankerService, "--reranker"); err != nil {
		t.Error(err)
	}
	err := c.requireService(t.Context(), vectorizerService, "--embedder")
	if err == nil || !strings.Contains(err.Error(), "--embedder none") {
		t.Error(err)
	}
}

func TestTheStartFailsForAWrongKey(t *testing.T) {
	path := socket(t)
	refuse := func(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if strings.HasPrefix(info.FullMethod, "/grpc.health.v1.") {
			return next(ctx, request)
		}
		return nil, status.Error(codes.Unauthenticated, "a wrong key")
	}
	(&fakeService{}).listen(t, path, grpc.UnaryInterceptor(refuse))
	t.Setenv(variableAPIKey, "secret")
	log, _ := test.NewNullLogger()
	_, err := connected(t, t.Context(), path, log)
	if err == nil || !strings.Contains(err.Error(), "PRISM_MODULE_API_KEY") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestItemsTimesTargetsOfACallKeepToTheServicesLimit(t *testing.T) {
	for name, test := range map[string]struct {
		told          uint64
		targets, want int
	}{
		"not told, some targets":    {0, 4, chunkItems},
		"not told, 25 targets":      {0, 25, 400},
		"25 targets":                {10_000, 25, 400},
		"a low limit":               {30, 4, 7},
		"more targets than allowed": {3, 4, 1},
		"a high limit":              {1_000_000, 1, chunkItems},
	} {
		t.Run(name, func(t *testing.T) {
			c := (&fakeService{limits: map[string]uint64{"max_items": test.told}}).served(t)
			if _, err := c.info(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := c.itemsPerCall(test.targets); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
	if got := dial(t, environment{address: "unix://" + socket(t)}).itemsPerCall(25); got != 400 {
		t.Errorf("before the service was asked: %d", got)
	}
}

func TestTheStartAsksForTheLimits(t *testing.T) {
	path := socket(t)
	(&fakeService{limits: map[string]uint64{"max_items": 3}}).listen(t, path)
	log, _ := test.NewNullLogger()
	c, err := connected(t, t.Context(), path, log)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.itemsPerCall(1); got != 3 {
		t.Errorf("%d items", got)
	}
}
