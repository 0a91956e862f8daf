package prism

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"prism.local/weaviate/prismv1"
)

const fakeDimensions = 4

// fakeService answers as the Python service does, with vectors that tell what they were made of.
type fakeService struct {
	prismv1.UnimplementedVectorizerServer
	prismv1.UnimplementedModuleServer
	// before each answer; an error replaces it
	before func(context.Context, *prismv1.VectorizeRequest) error
	// changes an answer
	after func(*prismv1.VectorizeRequest, *prismv1.VectorizeResponse)
	// the default model's, "fake" if empty
	model  string
	limits map[string]uint64

	lock     sync.Mutex
	requests []*prismv1.VectorizeRequest
	metadata []metadata.MD
	health   *health.Server
	server   *grpc.Server
}

func (f *fakeService) Vectorize(ctx context.Context, request *prismv1.VectorizeRequest) (*prismv1.VectorizeResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	f.lock.Lock()
	f.requests = append(f.requests, request)
	f.metadata = append(f.metadata, md)
	f.lock.Unlock()
	if f.before != nil {
		if err := f.before(ctx, request); err != nil {
			return nil, err
		}
	}
	response := &prismv1.VectorizeResponse{}
	for _, target := range request.Targets {
		dimensions := target.Dimensions
		if dimensions == 0 {
			dimensions = fakeDimensions
		}
		block := &prismv1.Block{Target: target.Name, Dimensions: dimensions}
		for i, item := range request.Items {
			vector := make([]float32, dimensions)
			if len(target.Items) == 0 || slices.Contains(target.Items, uint32(i)) {
				text, bad := read(target, item)
				if bad {
					response.Errors = append(response.Errors, &prismv1.ItemError{
						Index: uint32(i), Target: target.Name, Code: uint32(codes.InvalidArgument), Message: "cannot be decoded",
					})
				} else {
					copy(vector, fakeVector(text))
				}
			}
			for _, component := range vector {
				block.Vectors = binary.LittleEndian.AppendUint32(block.Vectors, math.Float32bits(component))
			}
		}
		response.Blocks = append(response.Blocks, block)
	}
	if f.after != nil {
		f.after(request, response)
	}
	return response, nil
}

func (f *fakeService) Info(context.Context, *prismv1.InfoRequest) (*prismv1.InfoResponse, error) {
	return &prismv1.InfoResponse{ApiVersion: 1, Version: "1.2.3", Ready: true, Limits: f.limits, Models: []*prismv1.Model{
		{Name: cmp.Or(f.model, "fake"), Revision: "abc", Kind: "embedder", Dimensions: fakeDimensions, Dtype: "float32"},
	}}, nil
}

// read joins what a target sees of an item.
func read(target *prismv1.Target, item *prismv1.Item) (text string, bad bool) {
	for _, part := range item.Parts {
		if len(target.Fields) == 0 || slices.Contains(target.Fields, part.Field) {
			content := part.GetText() + string(part.GetData()) + part.GetDigest()
			text, bad = text+content+";", bad || content == "bad"
		}
	}
	return text, bad
}

// fakeVector is of norm 1 and tells texts apart.
func fakeVector(text string) []float32 {
	angle := 0.0
	for i, c := range []byte(text) {
		angle += float64(c) * float64(i+1)
	}
	return []float32{float32(math.Cos(angle)), float32(math.Sin(angle)), 0, 0}
}

func (f *fakeService) asked() []*prismv1.VectorizeRequest {
	f.lock.Lock()
	defer f.lock.Unlock()
	return slices.Clone(f.requests)
}

// listen serves on a unix socket; the same path again stands for a service that restarts.
func (f *fakeService) listen(t *testing.T, path string, options ...grpc.ServerOption) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f.serveOn(t, listener, options...)
}

func (f *fakeService) serveOn(t *testing.T, listener net.Listener, options ...grpc.ServerOption) {
	t.Helper()
	f.health = health.NewServer()
	for _, service := range []string{"", vectorizerService, rerankerService} {
		f.health.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	f.server = grpc.NewServer(append(options, grpc.MaxRecvMsgSize(maxMessageBytes))...)
	prismv1.RegisterVectorizerServer(f.server, f)
	prismv1.RegisterModuleServer(f.server, f)
	grpc_health_v1.RegisterHealthServer(f.server, f.health)
	go func() { _ = f.server.Serve(listener) }()
	t.Cleanup(f.server.Stop)
}

func socket(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "prism.sock")
}

// dial returns a client of a service that may not be there yet.
func dial(t *testing.T, env environment) *client {
	t.Helper()
	if env.timeout == 0 {
		env.timeout = 20 * time.Second
	}
	if env.queryTimeout == 0 {
		env.queryTimeout = 20 * time.Second
	}
	log, _ := test.NewNullLogger()
	c, err := newClient(env, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.connection.Close() })
	return c
}

// served starts the fake and returns a client of it.
func (f *fakeService) served(t *testing.T) *client {
	t.Helper()
	path := socket(t)
	f.listen(t, path)
	return dial(t, environment{address: "unix://" + path})
}
