package prism

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/multi"
	"github.com/weaviate/weaviate/entities/search"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearText"
)

// fakeStore holds the properties of objects by UUID, and keeps what was read of it.
type fakeStore struct {
	objects map[string]map[string]any
	err     error

	lock    sync.Mutex
	reads   []string
	tenants []string
}

func (s *fakeStore) read(_ context.Context, ids []multi.Identifier, tenant string) ([]search.Result, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.tenants = append(s.tenants, tenant)
	results := make([]search.Result, len(ids)) // Weaviate leaves an empty result for an object that is gone
	for i, id := range ids {
		s.reads = append(s.reads, id.ID)
		if properties, ok := s.objects[id.ID]; ok {
			results[i] = search.Result{ClassName: id.ClassName, Schema: properties}
		}
	}
	return results, s.err
}

var titleAndStill = map[string]any{"textFields": []any{"title"}, "imageFields": []any{"still"}}

func TestOnlyWhatIsMissingIsReadAndNothingOfItIsReturned(t *testing.T) {
	f := &fakeReranker{answer: byText(nil)}
	m := f.serve(t)
	store := &fakeStore{objects: map[string]map[string]any{
		id(1).String(): {"title": "boat", "still": base64Of("B"), "plot": "secret"},
	}}
	weaviate(t, filmClass(titleAndStill), store)
	results, err := rerank(t, m, overGRPC("q", "title"), nil,
		film(0, map[string]any{"title": "ship", "still": base64Of("S")}),
		film(1, map[string]any{"title": "boat"}),
		film(2, map[string]any{"title": "tree", "still": nil}),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		id(0).String(): "text:ship image:S", id(1).String(): "text:boat image:B", id(2).String(): "text:tree",
	}
	if got := f.documents(); !reflect.DeepEqual(got, want) {
		t.Errorf("ranked %v, want %v", got, want)
	}
	if want := []string{id(1).String()}; !slices.Equal(store.reads, want) {
		t.Errorf("read %v, want %v", store.reads, want)
	}
	if got := results[1].Schema; !reflect.DeepEqual(got, map[string]any{"title": "boat"}) {
		t.Errorf("returned %v", got)
	}
}

func TestGraphQLHasReadEverythingSoThatAbsentIsNull(t *testing.T) {
	f := &fakeReranker{answer: byText(nil)}
	m := f.serve(t)
	store := &fakeStore{}
	class := filmClass(titleAndStill)
	weaviate(t, class, store)
	if _, err := rerank(t, m, graphQLArguments(parsedArguments(t, `(query: "q")`), class), nil,
		film(0, map[string]any{"title": "ship"}), film(1, map[string]any{})); err != nil {
		t.Fatal(err)
	}
	if len(store.tenants) != 0 {
		t.Errorf("read %v", store.reads)
	}
	want := map[string]string{id(0).String(): "text:ship"}
	if got := f.documents(); !reflect.DeepEqual(got, want) {
		t.Errorf("ranked %v, want %v", got, want)
	}
}

func TestResultsWithoutTheFieldsAreNotSentAndStayLast(t *testing.T) {
	f := &fakeReranker{answer: byText(map[string]float32{"": -2, "ship": -3})}
	m := f.serve(t)
	store := &fakeStore{objects: map[string]map[string]any{id(0).String(): {"year": 1999.0}}}
	weaviate(t, filmClass(map[string]any{"textFields": []any{"title", "tags"}}), store)
	counter := resultsWithoutFields.WithLabelValues("Film")
	before := testutil.ToFloat64(counter)
	// 1 is gone since it was found, 3 has nothing at all, 4 an empty list; 5 has a text, which is empty
	results, err := rerank(t, m, overGRPC("q", "title"), nil,
		film(0, map[string]any{}), film(1, map[string]any{}), film(2, map[string]any{"title": "ship"}),
		search.Result{ID: id(3), ClassName: "Film"}, film(4, map[string]any{"title": nil, "tags": []string{}}),
		film(5, map[string]any{"title": ""}))
	if err != nil {
		t.Fatal(err)
	}
	if got := order(results); !slices.Equal(got, []int{5, 2, 0, 1, 3, 4}) {
		t.Errorf("order %v", got)
	}
	for _, result := range results[2:] {
		if scoreOf(result) != -math.MaxFloat32 {
			t.Errorf("%s: score %v", result.ID, scoreOf(result))
		}
	}
	if got := f.documents(); len(got) != 2 {
		t.Errorf("ranked %v", got)
	}
	if counted := testutil.ToFloat64(counter) - before; counted != 4 {
		t.Errorf("counted %v", counted)
	}
}

func TestWithoutAnyFieldNothingIsAskedAndTheOrderStays(t *testing.T) {
	f := &fakeReranker{answer: byText(nil)}
	m := f.serve(t)
	weaviate(t, filmClass(titleAndStill), &fakeStore{})
	results, err := rerank(t, m, overGRPC("q", "title"), nil, film(1, map[string]any{}), film(0, nil), film(2, map[string]any{"title": nil}))
	if err != nil {
		t.Fatal(err)
	}
	if got := order(results); !slices.Equal(got, []int{1, 0, 2}) || scoreOf(results[0]) != -math.MaxFloat32 || len(f.requests) != 0 {
		t.Errorf("order %v, %d requests", got, len(f.requests))
	}
}

func TestAnObjectThatIsGoneSinceItWasFoundIsRankedByWhatIsLoaded(t *testing.T) {
	f := &fakeReranker{answer: byText(nil)}
	m := f.serve(t)
	weaviate(t, filmClass(titleAndStill), &fakeStore{})
	results, err := rerank(t, m, overGRPC("q", "title"), nil, film(0, map[string]any{"title": "ship"}))
	if err != nil || len(results) != 1 {
		t.Fatal(results, err)
	}
	if got := f.documents()[id(0).String()]; got != "text:ship" {
		t.Errorf("ranked %s", got)
	}
}

func TestEveryKindOfPropertyBecomesParts(t *testing.T) {
	f := &fakeReranker{answer: byText(nil)}
	m := f.serve(t)
	weaviate(t, filmClass(map[string]any{
		"textFields": []any{"title", "tags"}, "imageFields": []any{"still", "poster"}, "videoFields": []any{"trailer"},
	}), &fakeStore{})
	_, err := rerank(t, m, overGRPC("q", "title"), nil, film(0, map[string]any{
		"title": "ship", "tags": []string{"sea", "storm"}, "still": base64Of("S"), "trailer": base64Of("T"),
		"poster": strings.Repeat("0123456789abcdef", 4),
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := "text:ship text:sea text:storm image:S image:digest video:T"
	if got := f.documents()[id(0).String()]; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAPropertyThatCannotBeSentIsAnErrorThatNamesTheObject(t *testing.T) {
	m := (&fakeReranker{answer: byText(nil)}).serve(t)
	weaviate(t, filmClass(nil), &fakeStore{})
	_, err := rerank(t, m, overGRPC("q", "still"), nil, film(7, map[string]any{"still": "not base64!"}))
	if err == nil || !strings.Contains(err.Error(), id(7).String()) || !strings.Contains(err.Error(), "still") {
		t.Errorf("got %v", err)
	}
}

func TestAStoreThatFailsFailsTheSearch(t *testing.T) {
	m := (&fakeReranker{answer: byText(nil)}).serve(t)
	store := &fakeStore{err: errors.New("shard is loading")}
	weaviate(t, filmClass(nil), store)
	_, err := rerank(t, m, overGRPC("q", "title"), nil, film(0, map[string]any{}))
	if err == nil || !errors.Is(err, store.err) || !strings.Contains(err.Error(), `"title"`) {
		t.Errorf("got %v", err)
	}
}

func tenantClass(config any) *models.Class {
	class := filmClass(config)
	class.MultiTenancyConfig = &models.MultiTenancyConfig{Enabled: true}
	return class
}

func TestTheTenantIsThatOfTheResultsElseThatOfTheSearch(t *testing.T) {
	near := &nearText.NearTextParams{Values: []string{"a ship"}}
	rememberTenant(near, "studio-b")
	for name, test := range map[string]struct {
		ofResult string
		near     map[string]any
		want     string
	}{
		"of the result": {"studio-a", nil, "studio-a"},
		"of the result before that of the search": {"studio-a", map[string]any{"nearText": near}, "studio-a"},
		"of the search": {"", map[string]any{"nearText": near}, "studio-b"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeReranker{answer: byText(nil)}
			m := f.serve(t)
			store := &fakeStore{}
			weaviate(t, tenantClass(titleAndStill), store)
			results := []search.Result{film(0, map[string]any{"title": "ship"}), film(1, map[string]any{"title": "boat"})}
			results[1].Tenant = test.ofResult
			if _, err := rerank(t, m, overGRPC("q", "title"), test.near, results...); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(store.tenants, []string{test.want}) || f.requests[0].GetTenant() != test.want {
				t.Errorf("read as %v, ranked as %s, want %s", store.tenants, f.requests[0].GetTenant(), test.want)
			}
		})
	}
}

func TestWithoutATenantWhatIsLoadedIsRanked(t *testing.T) {
	f := &fakeReranker{answer: byText(map[string]float32{"ship": -1})}
	m := f.serve(t)
	store := &fakeStore{}
	weaviate(t, tenantClass(titleAndStill), store)
	results, err := rerank(t, m, overGRPC("q", "title"), nil,
		film(0, map[string]any{}), film(1, map[string]any{"title": "ship"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := order(results); !slices.Equal(got, []int{1, 0}) || len(store.tenants) != 0 || len(f.documents()) != 1 {
		t.Errorf("order %v, read as %v", got, store.tenants)
	}
}

func TestWithoutATenantAndAnyFieldTheSearchFails(t *testing.T) {
	m := (&fakeReranker{answer: byText(nil)}).serve(t)
	weaviate(t, tenantClass(titleAndStill), &fakeStore{})
	_, err := rerank(t, m, overGRPC("q", "title"), nil,
		film(0, map[string]any{"plot": "p"}), film(1, map[string]any{}))
	if err == nil || !strings.Contains(err.Error(), `does not tell modules its tenant, so that ["title" "still"] of Film`) {
		t.Errorf("got %v", err)
	}
}

func TestWithoutMultiTenancyNoTenantIsNeeded(t *testing.T) {
	m := (&fakeReranker{answer: byText(nil)}).serve(t)
	class := filmClass(titleAndStill)
	class.MultiTenancyConfig = &models.MultiTenancyConfig{}
	store := &fakeStore{}
	weaviate(t, class, store)
	if _, err := rerank(t, m, overGRPC("q", "title"), nil, film(0, map[string]any{"title": "ship"})); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(store.tenants, []string{""}) {
		t.Errorf("read as %v", store.tenants)
	}
}
