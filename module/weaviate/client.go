package prism

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"prism.local/weaviate/prismv1"
)

const (
	vectorizerService = "prism.v1.Vectorizer"
	rerankerService   = "prism.v1.Reranker"

	maxMessageBytes = 256 << 20 // the service's own default
	metaTimeout     = 2 * time.Second

	// Python's gRPC reads one 10 MB message at half the speed of several of 2.5 MB on their way at once.
	chunkBytes = 5 << 19
	chunkItems = 500
	maxRows    = 10_000 // items times targets of a call: the service's own default
	chunkCalls = 4      // on their way at once, of one batch

	startupInterval = 500 * time.Millisecond
	warningInterval = 5 * time.Second

	firstRetryDelay = 100 * time.Millisecond
	maxRetryDelay   = 2 * time.Second
)

// client is the connection to the service; calls of both modules share it.
type client struct {
	environment
	connection *grpc.ClientConn
	vectorizer prismv1.VectorizerClient
	reranker   prismv1.RerankerClient
	module     prismv1.ModuleClient
	health     grpc_health_v1.HealthClient
	told       atomic.Pointer[prismv1.InfoResponse] // by the service, the last time that it was asked
	outage     outage
}

var (
	sharedLock sync.Mutex
	shared     *client
)

// connect returns the process-wide client. The first call makes it, and waits for the service until ctx ends unless
// PRISM_MODULE_WAIT_FOR_STARTUP is false; Weaviate's context for initialising modules has a deadline.
func connect(ctx context.Context, log logrus.FieldLogger) (*client, error) {
	sharedLock.Lock()
	defer sharedLock.Unlock()
	if shared != nil {
		return shared, nil
	}
	env, err := readEnvironment()
	if err != nil {
		return nil, err
	}
	if len(env.unknown) > 0 {
		log.WithField("action", "prism_startup").Warnf("unknown variables: %v; known: %v", env.unknown, variables)
	}
	c, err := newClient(env, log)
	if err != nil {
		return nil, err
	}
	if env.wait {
		if err := c.awaitReady(ctx, log); err != nil {
			return nil, errors.Join(err, c.connection.Close())
		}
	}
	shared = c
	return c, nil
}

// newClient opens nothing yet: gRPC connects with the first call.
func newClient(env environment, log logrus.FieldLogger) (*client, error) {
	transport, err := env.transport()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDisableServiceConfig(), // a DNS record of the host's could change it
		// finds out within 40 s that the service vanished without a word, before the next call needs it
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true,
		}),
		// a service that restarts at the same address is found within 2 s instead of gRPC's 2 minutes
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithInitialWindowSize(8 << 20), grpc.WithInitialConnWindowSize(16 << 20),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
		// sends the trace context that Weaviate's OpenTelemetry keeps in ctx; does nothing where that is off
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()),
	}
	if env.apiKey != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(env.apiKey)))
	}
	connection, err := grpc.NewClient(env.address, options...)
	if err != nil {
		return nil, fmt.Errorf("%s=%q: %w", variableAddress, env.address, err)
	}
	return &client{
		environment: env,
		connection:  connection,
		vectorizer:  prismv1.NewVectorizerClient(connection),
		reranker:    prismv1.NewRerankerClient(connection),
		module:      prismv1.NewModuleClient(connection),
		health:      grpc_health_v1.NewHealthClient(connection),
		outage:      outage{log: log},
	}, nil
}

// close ends the connection; the next connect makes a new one. The client is nil where a module was not initialised.
func (c *client) close() error {
	if c == nil {
		return nil
	}
	sharedLock.Lock()
	defer sharedLock.Unlock()
	if shared != c {
		return nil // the other module did it
	}
	shared = nil
	return c.connection.Close()
}

// vectorize waits for a service that restarts or is busy, until its deadline: short for queries, long for objects.
// For a query somebody waits, so a full queue is an error at once.
func (c *client) vectorize(ctx context.Context, request *prismv1.VectorizeRequest) (*prismv1.VectorizeResponse, error) {
	if request.Task == prismv1.Task_TASK_QUERY {
		query := limit{c.queryTimeout, variableQuery}
		return withRetries(ctx, c, "vectorize_query", limits{query, query, unavailable}, c.vectorizer.Vectorize, request)
	}
	object := limit{c.timeout, variableTimeout}
	return withRetries(ctx, c, "vectorize_document", limits{object, object, busy}, c.vectorizer.Vectorize, request)
}

// rerank gives the model the time that scoring takes, but waits for a service that restarts as short as a query does.
func (c *client) rerank(ctx context.Context, request *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
	scoring, waiting := limit{c.timeout, variableTimeout}, limit{c.queryTimeout, variableQuery}
	return withRetries(ctx, c, "rerank", limits{scoring, waiting, unavailable}, c.reranker.Rerank, request)
}

// itemsPerCall keeps to the service's limit of items times targets.
func (c *client) itemsPerCall(targets int) int {
	rows := uint64(maxRows)
	if told := c.told.Load().GetLimits()["max_items"]; told > 0 {
		rows = told
	}
	return int(max(1, min(chunkItems, rows/uint64(targets))))
}

// meta tells /v1/meta what serves. It answers within 2 s also when the service is down.
func (c *client) meta() (map[string]any, error) {
	info, err := c.info(context.Background())
	if err != nil {
		return nil, failure(err)
	}
	loaded := make([]map[string]any, len(info.Models))
	for i, model := range info.Models {
		loaded[i] = map[string]any{
			"name": model.Name, "revision": model.Revision, "kind": model.Kind,
			"dimensions": model.Dimensions, "dtype": model.Dtype,
		}
	}
	return map[string]any{"version": info.Version, "ready": info.Ready, "models": loaded}, nil
}

// info asks once, without waiting for the service.
func (c *client) info(ctx context.Context) (*prismv1.InfoResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, metaTimeout)
	defer cancel()
	info, err := c.module.Info(ctx, &prismv1.InfoRequest{})
	if err != nil {
		return nil, err
	}
	c.told.Store(info)
	return info, nil
}

// embedder is the name of the service's default model; where the service does not answer, what it told last, or empty.
func (c *client) embedder(ctx context.Context) string {
	info, err := c.info(ctx)
	if err != nil {
		info = c.told.Load()
	}
	for _, model := range info.GetModels() {
		if model.Kind == "embedder" {
			return model.Name
		}
	}
	return ""
}

// callError keeps the code. It is no gRPC status, which would become that of Weaviate's answer.
type callError struct {
	code    codes.Code
	message string
}

func (e *callError) Error() string { return e.message }

// failure keeps the service's own words.
func failure(err error) error {
	s := status.Convert(err)
	return &callError{s.Code(), fmt.Sprintf("prism: %s: %s", s.Code(), s.Message())}
}
