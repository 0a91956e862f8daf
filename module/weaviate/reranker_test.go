package prism

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-openapi/strfmt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/modulecapabilities"
	"github.com/weaviate/weaviate/entities/search"
	additional "github.com/weaviate/weaviate/usecases/modulecomponents/additional/models"
	"github.com/weaviate/weaviate/usecases/modulecomponents/additional/rank"

	"prism.local/weaviate/prismv1"
)

// film is a result of which Weaviate has read the given properties.
func film(number int, properties map[string]any) search.Result {
	return search.Result{ID: id(number), ClassName: "Film", Schema: properties}
}

func id(number int) strfmt.UUID {
	return strfmt.UUID(fmt.Sprintf("00000000-0000-0000-0000-%012d", number))
}

func titled(titles ...string) []search.Result {
	results := make([]search.Result, len(titles))
	for i, title := range titles {
		results[i] = film(i, map[string]any{"title": title})
	}
	return results
}

// overGRPC are the arguments as Weaviate's gRPC API builds them; it always has a property.
func overGRPC(query, property string) *rank.Params {
	return &rank.Params{Query: &query, Property: &property}
}

func order(results []search.Result) []int {
	numbers := []int{}
	for _, result := range results {
		var number int
		_, _ = fmt.Sscanf(string(result.ID[24:]), "%d", &number)
		numbers = append(numbers, number)
	}
	return numbers
}

func scoreOf(result search.Result) float64 {
	return *result.AdditionalProperties["rerank"].([]*additional.RankResult)[0].Score
}

func TestResultsAreSortedByScoreAndCarryIt(t *testing.T) {
	f := &fakeReranker{answer: byText(map[string]float32{"tree": -1, "boat": 0.5, "ship": 2})}
	m := f.serve(t)
	weaviate(t, filmClass(map[string]any{"model": "m", "instruction": "i"}), &fakeStore{})
	results, err := rerank(t, m, overGRPC("a ship", "title"), nil, titled("tree", "boat", "ship")...)
	if err != nil {
		t.Fatal(err)
	}
	if got := order(results); !reflect.DeepEqual(got, []int{2, 1, 0}) {
		t.Errorf("order %v", got)
	}
	if scoreOf(results[0]) != 2 || scoreOf(results[1]) != 0.5 || scoreOf(results[2]) != -1 {
		t.Errorf("scores %v %v %v", scoreOf(results[0]), scoreOf(results[1]), scoreOf(results[2]))
	}
	if len(f.requests) != 1 {
		t.Fatalf("%d requests", len(f.requests))
	}
	request := f.requests[0]
	if request.GetCollection() != "Film" || request.GetModel() != "m" || request.GetInstruction() != "i" {
		t.Errorf("request %v", request)
	}
	if got := describe(request.GetQuery()); got != "text:a ship" {
		t.Errorf("query %s", got)
	}
}

func TestEqualScoresKeepTheirOrderAndNaNIsLast(t *testing.T) {
	f := &fakeReranker{answer: byText(map[string]float32{"low": -math.MaxFloat32, "none": float32(math.NaN()), "high": 1})}
	m := f.serve(t)
	weaviate(t, filmClass(nil), &fakeStore{})
	results, err := rerank(t, m, overGRPC("q", "title"), nil,
		titled("none", "same", "low", "same", "high", "none", "same", "high")...)
	if err != nil {
		t.Fatal(err)
	}
	if got := order(results); !reflect.DeepEqual(got, []int{4, 7, 1, 3, 6, 2, 0, 5}) {
		t.Errorf("order %v", got)
	}
}

func TestWhatOtherModulesAddedToAResultStays(t *testing.T) {
	f := &fakeReranker{answer: byText(nil)}
	m := f.serve(t)
	weaviate(t, filmClass(nil), &fakeStore{})
	result := film(0, map[string]any{"title": "ship"})
	result.AdditionalProperties = models.AdditionalProperties{"distance": 0.5}
	results, err := rerank(t, m, overGRPC("q", "title"), nil, result)
	if err != nil {
		t.Fatal(err)
	}
	if results[0].AdditionalProperties["distance"] != 0.5 {
		t.Error(results[0].AdditionalProperties)
	}
}

// A hybrid search with nearText inside reranks the results of nearText first, then all of them again.
func TestResultsMayBeRerankedTwice(t *testing.T) {
	f := &fakeReranker{answer: byText(map[string]float32{"boat": 1, "ship": 2})}
	m := f.serve(t)
	weaviate(t, filmClass(nil), &fakeStore{})
	once, err := rerank(t, m, overGRPC("q", "title"), nil, titled("boat", "ship")...)
	if err != nil {
		t.Fatal(err)
	}
	f.answer = byText(map[string]float32{"boat": 4, "ship": 3})
	twice, err := rerank(t, m, overGRPC("q", "title"), nil, once...)
	if err != nil {
		t.Fatal(err)
	}
	if got := order(twice); !reflect.DeepEqual(got, []int{0, 1}) || scoreOf(twice[0]) != 4 {
		t.Errorf("order %v, score %v", got, scoreOf(twice[0]))
	}
}

func TestADocumentThatCannotBeScoredFailsTheSearchByItsID(t *testing.T) {
	f := &fakeReranker{answer: func(_ context.Context, request *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
		return &prismv1.RerankResponse{
			Scores: make([]float32, len(request.GetDocuments())),
			Errors: []*prismv1.ItemError{
				{Index: 1, Code: uint32(codes.InvalidArgument), Message: "parts[0]: cannot be decoded"},
				{Index: 2, Code: uint32(codes.InvalidArgument), Message: "parts[0]: too large"},
			},
		}, nil
	}}
	m := f.serve(t)
	weaviate(t, filmClass(nil), &fakeStore{})
	_, err := rerank(t, m, overGRPC("q", "title"), nil, titled("a", "b", "c")...)
	want := "object 00000000-0000-0000-0000-000000000001 (one of 2 that cannot be scored): " +
		"InvalidArgument: parts[0]: cannot be decoded"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAnswersThatDoNotFitAreErrors(t *testing.T) {
	for name, response := range map[string]*prismv1.RerankResponse{
		"too few scores":       {Scores: []float32{1}},
		"too many scores":      {Scores: []float32{1, 2, 3}},
		"no scores":            {},
		"error of no document": {Scores: []float32{1, 2}, Errors: []*prismv1.ItemError{{Index: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeReranker{answer: func(context.Context, *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
				return response, nil
			}}
			m := f.serve(t)
			weaviate(t, filmClass(nil), &fakeStore{})
			if _, err := rerank(t, m, overGRPC("q", "title"), nil, titled("a", "b")...); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestARefusalOfTheServiceIsTheErrorOfTheSearch(t *testing.T) {
	f := &fakeReranker{answer: func(context.Context, *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
		return nil, status.Error(codes.NotFound, "model: no reranker is named x")
	}}
	m := f.serve(t)
	weaviate(t, filmClass(map[string]any{"model": "x"}), &fakeStore{})
	_, err := rerank(t, m, overGRPC("q", "title"), nil, titled("a")...)
	if err == nil || !strings.Contains(err.Error(), "NotFound: model: no reranker is named x") {
		t.Errorf("got %v", err)
	}
}

func TestLargeDocumentsTravelInSeveralCallsWithTheSameQuery(t *testing.T) {
	f := &fakeReranker{answer: scored(func(document *prismv1.Item) float32 {
		return float32(document.GetParts()[0].GetText()[0])
	})}
	m := f.serve(t)
	weaviate(t, filmClass(nil), &fakeStore{})
	filler := strings.Repeat(" ", chunkBytes*2/3)
	results, err := rerank(t, m, overGRPC("q", "title"), nil, titled("a"+filler, "d"+filler, "b"+filler, "c"+filler)...)
	if err != nil {
		t.Fatal(err)
	}
	if got := order(results); !reflect.DeepEqual(got, []int{1, 3, 2, 0}) {
		t.Errorf("order %v", got)
	}
	if len(f.requests) != 4 || len(f.documents()) != 4 {
		t.Errorf("%d requests, %d documents", len(f.requests), len(f.documents()))
	}
	for _, request := range f.requests {
		if describe(request.GetQuery()) != "text:q" {
			t.Errorf("query %s", describe(request.GetQuery()))
		}
	}
}

func TestTheFirstCallThatFailsCancelsTheOthers(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan time.Duration, 1)
	f := &fakeReranker{answer: func(ctx context.Context, request *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
		if strings.HasPrefix(request.GetDocuments()[0].GetParts()[0].GetText(), "bad") {
			<-arrived
			return nil, status.Error(codes.InvalidArgument, "query: is empty")
		}
		close(arrived)
		<-ctx.Done()
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return nil, ctx.Err()
	}}
	m := f.serve(t)
	weaviate(t, filmClass(nil), &fakeStore{})
	filler := strings.Repeat(" ", chunkBytes*2/3)
	_, err := rerank(t, m, overGRPC("q", "title"), nil, titled("good"+filler, "bad"+filler)...)
	if err == nil || !strings.Contains(err.Error(), "InvalidArgument: query: is empty") {
		t.Errorf("got %v", err)
	}
	if got := <-left; got < m.client.timeout/2 {
		t.Errorf("the other call ended by its deadline, %v before it", got)
	}
}

func TestASearchWithoutResultsAsksNothing(t *testing.T) {
	f := &fakeReranker{}
	results, err := rerank(t, f.serve(t), overGRPC("", ""), nil)
	if err != nil || len(results) != 0 || len(f.requests) != 0 {
		t.Errorf("got %v, %v after %d requests", results, err, len(f.requests))
	}
}

func TestAnUnknownCollectionIsAnError(t *testing.T) {
	m := (&fakeReranker{}).serve(t)
	weaviate(t, filmClass(nil), &fakeStore{})
	if _, err := rerank(t, m, overGRPC("q", "title"), nil, search.Result{ClassName: "Gone"}); err == nil {
		t.Error("no error")
	}
}

func TestTheErrorOfGraphQLArgumentsIsThatOfTheSearch(t *testing.T) {
	m := (&fakeReranker{}).serve(t)
	class := filmClass(nil)
	weaviate(t, class, &fakeStore{})
	extract := m.AdditionalProperties()["rerank"].GraphQLExtractFunction
	_, err := rerank(t, m, extract(parsedArguments(t, `(query: $text)`), class), nil, titled("a")...)
	if err == nil || !strings.Contains(err.Error(), "the variable $text does not reach modules") {
		t.Errorf("got %v", err)
	}
}

func TestTheModuleIsAReranker(t *testing.T) {
	module := newReranker()
	if module.Name() != "reranker-prism" || module.Type() != modulecapabilities.Text2TextReranker {
		t.Errorf("%s is a %s", module.Name(), module.Type())
	}
	if err := module.(modulecapabilities.ModuleWithClose).Close(); err != nil {
		t.Errorf("closed before Init: %v", err)
	}
}

func TestADeadServiceFailsASearchAfterTheTimeOfAQuery(t *testing.T) {
	c := dial(t, environment{address: "unix://" + socket(t), timeout: time.Hour, queryTimeout: 200 * time.Millisecond})
	weaviate(t, filmClass(nil), &fakeStore{})
	_, err := rerank(t, &reranker{c, newKeptMedia()}, overGRPC("q", "title"), nil, titled("a")...)
	if err == nil || !strings.Contains(err.Error(), "no Prism at ") || !strings.HasSuffix(err.Error(), "(PRISM_MODULE_QUERY_TIMEOUT): no such file or directory") {
		t.Error(err)
	}
}

func TestScoringMayTakeLongerThanAQuery(t *testing.T) {
	f := &fakeReranker{answer: func(ctx context.Context, _ *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
		deadline, _ := ctx.Deadline()
		if left := time.Until(deadline); left < 10*time.Second {
			return nil, status.Errorf(codes.InvalidArgument, "%s left", left)
		}
		return &prismv1.RerankResponse{Scores: []float32{1}}, nil
	}}
	m := f.serve(t)
	m.client.queryTimeout = time.Second
	weaviate(t, filmClass(nil), &fakeStore{})
	if _, err := rerank(t, m, overGRPC("q", "title"), nil, titled("a")...); err != nil {
		t.Error(err)
	}
}

func TestDocumentsOfACallKeepToTheServicesLimit(t *testing.T) {
	f := &fakeReranker{answer: byText(nil)}
	m := f.serve(t)
	m.client.told.Store(&prismv1.InfoResponse{Limits: map[string]uint64{"max_items": 2}})
	weaviate(t, filmClass(nil), &fakeStore{})
	if _, err := rerank(t, m, overGRPC("q", "title"), nil, titled("a", "b", "c")...); err != nil || len(f.requests) != 2 {
		t.Errorf("%d requests, %v", len(f.requests), err)
	}
}
