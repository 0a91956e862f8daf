package prism

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/weaviate/weaviate/entities/modulecapabilities"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearImage"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearText"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearVideo"
	"github.com/weaviate/weaviate/usecases/modules"

	"prism.local/weaviate/prismv1"
)

var searched = gallery(map[string]map[string]any{"v": {
	"textFields": []any{"title"}, "model": "big", "dimensions": 4, "instruction": "store", "queryInstruction": "find",
}})

func searchBy(t *testing.T, m *vectorizer, params any) ([]float32, error) {
	t.Helper()
	var name string
	switch params.(type) {
	case *nearText.NearTextParams:
		name = "nearText"
	case *nearImage.NearImageParams:
		name = "nearImage"
	case *nearVideo.NearVideoParams:
		name = "nearVideo"
	}
	if _, ok := m.Arguments()[name]; !ok {
		t.Errorf("no argument %s", name)
	}
	cfg := modules.NewClassBasedModuleConfig(searched, vectorizerName, "tenant", "v", nil)
	find := func(_ context.Context, _ string, id strfmt.UUID, _, _ string) ([]float32, string, error) {
		return []float32{0, 0, 1, 0}, "v", nil
	}
	return m.VectorSearches()[name](t.Context(), params, "Film", find, cfg)
}

func close4(a, b []float32) bool {
	return len(a) == len(b) && !slices.ContainsFunc([]int{0, 1, 2, 3}, func(i int) bool { return math.Abs(float64(a[i]-b[i])) > 1e-6 })
}

func TestConceptsAreQueriesOfTheirOwnAndAveraged(t *testing.T) {
	fake := &fakeService{}
	m := module(t, fake.served(t), searched)
	got, err := searchBy(t, m, &nearText.NearTextParams{Values: []string{"storm", "sea"}})
	a, b := fakeVector("storm;"), fakeVector("sea;")
	if want := []float32{(a[0] + b[0]) / 2, (a[1] + b[1]) / 2, 0, 0}; err != nil || !close4(got, want) {
		t.Errorf("got %v, want %v, %v", got, want, err)
	}
	request := fake.asked()[0]
	if len(fake.asked()) != 1 || len(request.Items) != 2 || request.Task != prismv1.Task_TASK_QUERY || request.Collection != "Film" || request.Tenant != "tenant" {
		t.Errorf("%v", request)
	}
	sent := request.Targets[0]
	if sent.Name != "v" || sent.Model != "big" || sent.Dimensions != 4 || sent.Instruction != "find" || len(sent.Fields) != 0 {
		t.Errorf("%v", sent)
	}
}

func TestMovesAreThoseOfWeaviate(t *testing.T) {
	m := module(t, (&fakeService{}).served(t), searched)
	got, err := searchBy(t, m, &nearText.NearTextParams{
		Values:       []string{"storm"},
		MoveTo:       nearText.ExploreMove{Values: []string{"sea"}, Objects: []nearText.ObjectMove{{ID: "x"}}, Force: 0.8},
		MoveAwayFrom: nearText.ExploreMove{Values: []string{"desert"}, Force: 0.2},
	})
	storm, sea, desert := fakeVector("storm;"), fakeVector("sea;"), fakeVector("desert;")
	found := []float32{0, 0, 1, 0}
	want := make([]float32, 4)
	for i := range want {
		moved := storm[i]*0.6 + (sea[i]+found[i])/2*0.4
		want[i] = moved + 0.1*(moved-desert[i])
	}
	if err != nil || !close4(got, want) {
		t.Errorf("got %v, want %v, %v", got, want, err)
	}
}

func TestPicturesAndClipsAreQueries(t *testing.T) {
	fake := &fakeService{}
	m := module(t, fake.served(t), searched)
	for _, c := range []struct {
		params   any
		modality prismv1.Modality
	}{
		{&nearImage.NearImageParams{Image: media("storm")}, isImage},
		{&nearVideo.NearVideoParams{Video: "data:video/mp4;base64," + media("storm")}, isVideo},
	} {
		got, err := searchBy(t, m, c.params)
		if err != nil || !is(got, "storm;") {
			t.Errorf("%T: %v, %v", c.params, got, err)
		}
		requests := fake.asked()
		if sent := requests[len(requests)-1].Items[0].Parts[0]; sent.Modality != c.modality {
			t.Errorf("%v", sent)
		}
	}
	if _, err := searchBy(t, m, &nearImage.NearImageParams{Image: "%"}); err == nil || !strings.Contains(err.Error(), "the query is not base64") {
		t.Error(err)
	}
}

func TestAHybridSearchVectorizesItsInput(t *testing.T) {
	fake := &fakeService{}
	m := module(t, fake.served(t), searched)
	got, err := m.VectorizeInput(t.Context(), "storm", configOf(searched, "v"))
	if err != nil || !is(got, "storm;") || fake.asked()[0].Task != prismv1.Task_TASK_QUERY {
		t.Errorf("%v, %v", got, err)
	}
}

func TestASearchAcrossCollectionsUsesTheDefaultModel(t *testing.T) {
	fake := &fakeService{}
	m := module(t, fake.served(t), searched)
	got, err := m.VectorSearches()["nearText"](t.Context(), &nearText.NearTextParams{Values: []string{"storm"}}, "", nil,
		modules.NewCrossClassModuleConfig(nil))
	if err != nil || !is(got, "storm;") || fake.asked()[0].Targets[0].Model != "" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAQueryThatCannotBeAnsweredIsAnError(t *testing.T) {
	for name, fake := range map[string]*fakeService{
		"refused":   {},
		"zero":      {after: func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) { clear(r.Blocks[0].Vectors) }},
		"no answer": {after: func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) { r.Blocks = nil }},
	} {
		text := map[bool]string{true: "bad", false: "storm"}[name == "refused"]
		if got, err := searchBy(t, module(t, fake.served(t), searched), &nearText.NearTextParams{Values: []string{text}}); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

type shouting struct{ vectorizer }

func (*shouting) Name() string { return "text-shouting" }
func (*shouting) TextTransformers() map[string]modulecapabilities.TextTransform {
	return map[string]modulecapabilities.TextTransform{"nearText": upper{}}
}

type upper struct{}

func (upper) Transform(in []string) ([]string, error) { return []string{strings.ToUpper(in[0])}, nil }

func TestTextsOfNearTextAreTransformedByOtherModules(t *testing.T) {
	m := &vectorizer{}
	if err := m.InitExtension([]modulecapabilities.Module{m, &shouting{}}); err != nil {
		t.Fatal(err)
	}
	params, _, err := m.Arguments()["nearText"].ExtractFunction(map[string]any{"concepts": []any{"storm"}, "autocorrect": true})
	if err != nil || fmt.Sprint(params.(*nearText.NearTextParams).Values) != "[STORM]" {
		t.Errorf("%v, %v", params, err)
	}
}

func TestTheTenantOfASearchIsKnownAsLongAsItsParameters(t *testing.T) {
	m := module(t, (&fakeService{}).served(t), searched)
	for _, params := range []any{
		&nearText.NearTextParams{Values: []string{"storm"}},
		&nearImage.NearImageParams{Image: media("storm")},
		&nearVideo.NearVideoParams{Video: media("storm")},
	} {
		for range 2 { // two target vectors
			if _, err := searchBy(t, m, params); err != nil {
				t.Fatal(err)
			}
		}
		if got := tenantOf(map[string]any{"near": params}); got != "tenant" {
			t.Errorf("%T: %q", params, got)
		}
	}
	if got := tenantOf(map[string]any{"nearText": &nearText.NearTextParams{}, "nearVector": 1}); got != "" {
		t.Errorf("another search: %q", got)
	}
	deadline := time.Now().Add(10 * time.Second)
	for remembered() > 0 && time.Now().Before(deadline) {
		runtime.GC()
		runtime.Gosched()
	}
	if n := remembered(); n != 0 {
		t.Errorf("%d tenants are remembered for ever", n)
	}
}

func remembered() (n int) {
	tenants.Range(func(any, any) bool { n++; return true })
	return n
}
