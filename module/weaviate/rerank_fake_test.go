package prism

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/moduletools"
	"github.com/weaviate/weaviate/entities/search"

	"prism.local/weaviate/prismv1"
)

// fakeReranker is a gRPC service that scores as a test says, and keeps what it was asked.
type fakeReranker struct {
	prismv1.UnimplementedRerankerServer
	answer func(context.Context, *prismv1.RerankRequest) (*prismv1.RerankResponse, error)

	lock     sync.Mutex
	requests []*prismv1.RerankRequest
}

func (f *fakeReranker) Rerank(ctx context.Context, request *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
	f.lock.Lock()
	f.requests = append(f.requests, request)
	f.lock.Unlock()
	return f.answer(ctx, request)
}

// documents are those of all requests, by id.
func (f *fakeReranker) documents() map[string]string {
	f.lock.Lock()
	defer f.lock.Unlock()
	found := map[string]string{}
	for _, request := range f.requests {
		for _, document := range request.GetDocuments() {
			found[document.GetId()] = describe(document)
		}
	}
	return found
}

// scored answers with the score that a function gives to a document.
func scored(score func(*prismv1.Item) float32) func(context.Context, *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
	return func(_ context.Context, request *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
		response := &prismv1.RerankResponse{}
		for _, document := range request.GetDocuments() {
			response.Scores = append(response.Scores, score(document))
		}
		return response, nil
	}
}

// byText scores by the first text of a document.
func byText(scores map[string]float32) func(context.Context, *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
	return scored(func(document *prismv1.Item) float32 { return scores[document.GetParts()[0].GetText()] })
}

// serve starts the fake on a free port and returns a module that is connected to it.
func (f *fakeReranker) serve(t *testing.T) *reranker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessageBytes))
	prismv1.RegisterRerankerServer(server, f)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	client := dial(t, environment{address: listener.Addr().String(), timeout: 30 * time.Second, queryTimeout: 30 * time.Second})
	return &reranker{client, newKeptMedia()}
}

// rerank runs the module as Weaviate does: by what it registers, and without a config, as in searches across collections.
func rerank(t *testing.T, m *reranker, params any, near map[string]any, results ...search.Result) ([]search.Result, error) {
	t.Helper()
	var none moduletools.ClassConfig
	run := m.AdditionalProperties()["rerank"].SearchFunctions.ExploreGet
	return run(t.Context(), results, params, nil, near, none)
}

// weaviate stands for the schema of Weaviate and its store during a test.
func weaviate(t *testing.T, class *models.Class, store *fakeStore) {
	t.Helper()
	before := host
	t.Cleanup(func() { host = before })
	host = Host{
		Class: func(name string) *models.Class {
			if name != class.Class {
				return nil
			}
			return class
		},
		Objects: store.read,
	}
}
