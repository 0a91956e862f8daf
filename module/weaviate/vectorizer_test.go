package prism

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"
	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/moduletools"
	"github.com/weaviate/weaviate/usecases/modules"
)

// gallery is a collection with the given configs by target vector.
func gallery(vectors map[string]map[string]any) *models.Class {
	class := &models.Class{Class: "Film", Properties: filmProperties(), VectorConfig: map[string]models.VectorConfig{}}
	for name, config := range vectors {
		class.VectorConfig[name] = models.VectorConfig{
			VectorIndexType: "hnsw", Vectorizer: map[string]any{vectorizerName: config},
		}
	}
	return class
}

var fourTargets = map[string]map[string]any{
	"title": {"textFields": []any{"title"}},
	"still": {"imageFields": []any{"still"}},
	"both":  {"textFields": []any{"title"}, "imageFields": []any{"still"}},
	"small": {"imageFields": []any{"still"}, "dimensions": 2},
}

// module returns a vectorizer in a Weaviate whose schema is one collection.
func module(t *testing.T, c *client, class *models.Class) *vectorizer {
	t.Helper()
	weaviate(t, class, &fakeStore{})
	m := &vectorizer{client: c}
	if err := m.InitExtension(nil); err != nil {
		t.Fatal(err)
	}
	return m
}

func configOf(class *models.Class, target string) moduletools.ClassConfig {
	return modules.NewClassBasedModuleConfig(class, vectorizerName, "", target, nil)
}

// vectorizeAll calls once per target vector and at a time, as Weaviate does.
func vectorizeAll(m *vectorizer, class *models.Class, objects []*models.Object, skip map[string][]bool) map[string]outcome {
	var lock sync.Mutex
	var group sync.WaitGroup
	got := map[string]outcome{}
	for name := range class.VectorConfig {
		group.Go(func() {
			skipped := skip[name]
			if skipped == nil {
				skipped = make([]bool, len(objects))
			}
			vectors, _, errs := m.VectorizeBatch(context.Background(), objects, skipped, configOf(class, name))
			lock.Lock()
			defer lock.Unlock()
			got[name] = outcome{vectors, errs}
		})
	}
	group.Wait()
	return got
}

func TestOneCallServesAllTargetsOfABatch(t *testing.T) {
	fake := &fakeService{}
	class := gallery(fourTargets)
	m := module(t, fake.served(t), class)
	got := vectorizeAll(m, class, films(3), nil)
	for i := range 3 {
		title, still := fmt.Sprint("film ", i, ";"), fmt.Sprint("still ", i, ";")
		if !is(got["title"].vectors[i], title) || !is(got["still"].vectors[i], still) || !is(got["both"].vectors[i], title+still) ||
			len(got["small"].vectors[i]) != 2 {
			t.Errorf("object %d: %v", i, got)
		}
	}
	if asked := fake.asked(); len(asked) != 1 || len(asked[0].Targets) != 4 || len(asked[0].Items[0].Parts) != 2 {
		t.Errorf("%v", asked)
	}
	m.sharing.expectHeld(t, 0)
}

func TestOneCallServesAllTargetsOfAnObject(t *testing.T) {
	fake := &fakeService{}
	class := gallery(fourTargets)
	m := module(t, fake.served(t), class)
	film := films(1)[0]
	for name := range fourTargets { // one after the other, as with one core
		if vector, _, err := m.VectorizeObject(t.Context(), film, configOf(class, name)); err != nil || vector == nil {
			t.Errorf("%s: %v, %v", name, vector, err)
		}
	}
	if asked := fake.asked(); len(asked) != 1 {
		t.Errorf("%d calls", len(asked))
	}
}

func TestAnUpdateAsksForTheOneVectorThatChanged(t *testing.T) {
	fake := &fakeService{}
	class := gallery(fourTargets)
	m := module(t, fake.served(t), class)
	for _, times := range [][2]int64{{0, 0}, {1, 2}} { // PATCH, PUT
		film := films(1)[0]
		film.CreationTimeUnix, film.LastUpdateTimeUnix = times[0], times[1]
		if _, _, err := m.VectorizeObject(t.Context(), film, configOf(class, "title")); err != nil {
			t.Error(err)
		}
	}
	for _, request := range fake.asked() {
		if len(request.Targets) != 1 || len(request.Items[0].Parts) != 1 {
			t.Errorf("%v", request)
		}
	}
}

func TestTargetsThatSkipDifferentObjectsGetWhatEachNeeds(t *testing.T) {
	class := gallery(fourTargets)
	m := module(t, (&fakeService{}).served(t), class)
	skip := map[string][]bool{"title": {true, false, false}, "still": {false, false, true}, "small": {true, true, true}}
	got := vectorizeAll(m, class, films(3), skip)
	for name, result := range got {
		for i := range 3 {
			skipped := skip[name] != nil && skip[name][i]
			if skipped != (result.vectors[i] == nil) || len(result.errs) != 0 {
				t.Errorf("%s, object %d: %v", name, i, result)
			}
		}
	}
}

func TestSomeOfTheCollectionsVectorsAreNotOurs(t *testing.T) {
	class := gallery(fourTargets)
	class.VectorConfig["other"] = models.VectorConfig{Vectorizer: map[string]any{"text2vec-openai": map[string]any{}}}
	class.VectorConfig["gone"] = models.VectorConfig{VectorIndexType: "none", Vectorizer: map[string]any{
		vectorizerName: map[string]any{"textFields": []any{"title"}},
	}}
	class.VectorConfig["broken"] = models.VectorConfig{VectorIndexType: "hnsw", Vectorizer: map[string]any{
		vectorizerName: map[string]any{"textFields": []any{"nowhere"}},
	}}
	class.Vectorizer, class.ModuleConfig = vectorizerName, map[string]any{vectorizerName: map[string]any{"textFields": []any{"tags"}}}
	own := target{"title", titles.settings}
	var names []string
	for _, each := range sharedTargets(class, own) {
		names = append(names, each.name)
	}
	if got := strings.Join(names, ","); got != ",both,small,still,title" {
		t.Errorf("%q", got)
	}
}

func TestTargetsThatReadInAnotherOrderAreNotShared(t *testing.T) {
	for name, c := range map[string]struct {
		other  settings
		shared bool
	}{
		"same order":     {settings{fields: []field{{"title", isText, 0}, {"tags", isText, 2}}}, true},
		"other order":    {settings{fields: []field{{"tags", isText, 0}, {"title", isText, 0}}}, false},
		"other modality": {settings{fields: []field{{"still", isVideo, 0}}}, false},
	} {
		own := settings{fields: []field{{"title", isText, 0}, {"tags", isText, 0}, {"still", isImage, 0}}}
		if got := ordered([]target{{"own", own}, {"other", c.other}}); got != c.shared {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAConfigThatNoLongerFitsIsTheErrorOfEachObject(t *testing.T) {
	class := gallery(map[string]map[string]any{"v": {"textFields": []any{"title"}, "wrong": 1}})
	m := module(t, nil, class)
	_, _, errs := m.VectorizeBatch(t.Context(), films(2), []bool{false, true}, configOf(class, "v"))
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "wrong: no such key") || !strings.Contains(errs[0].Error(), `"v"`) {
		t.Errorf("%v", errs)
	}
}

func TestAClassIsValidatedAtCreation(t *testing.T) {
	class := gallery(map[string]map[string]any{
		"good": {"textFields": []any{"title"}}, "type": {"imageFields": []any{"title"}}, "key": {"textField": []any{"title"}},
	})
	m := module(t, nil, class)
	for name, want := range map[string]string{"good": "", "type": `property "title" is of type text`, "key": "textField: no such key"} {
		err := m.ValidateClass(t.Context(), class, configOf(class, name))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWeaviateComparesExactlyTheFields(t *testing.T) {
	class := gallery(fourTargets)
	all, names, err := module(t, nil, class).VectorizableProperties(configOf(class, "both"))
	if all || strings.Join(names, ",") != "title,still" || err != nil {
		t.Errorf("%v, %v, %v", all, names, err)
	}
}

func TestTheDefaultModelIsStoredByName(t *testing.T) {
	path := socket(t)
	m := &vectorizer{client: dial(t, environment{address: "unix://" + path})}
	expect := func(when, want string) {
		t.Helper()
		if got := m.ClassConfigDefaults()["model"]; got != want {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
	expect("before the service ever told", "")
	for _, name := range []string{"first", "second"} {
		fake := &fakeService{model: name}
		fake.listen(t, path)
		if err := m.client.awaitReady(t.Context(), logrus.New()); err != nil {
			t.Fatal(err)
		}
		expect("while it is there", name)
		fake.server.Stop()
		expect("while it is away", name)
	}
	fake := &fakeService{model: "third"}
	fake.listen(t, path)
	for m.client.serving(t.Context(), "") != nil {
		time.Sleep(time.Millisecond)
	}
	expect("that nobody asked for", "third")
}

func TestObjectsWithoutFieldsAreCountedForTheVectorThatIsAsked(t *testing.T) {
	class := gallery(fourTargets)
	m := module(t, (&fakeService{}).served(t), class)
	counted := func(target string) float64 {
		return testutil.ToFloat64(objectsWithoutFields.WithLabelValues("Film", target))
	}
	before := map[string]float64{"title": counted("title"), "still": counted("still"), "small": counted("small")}
	without, skipped := object(1, map[string]any{"title": "storm"}), object(2, nil)
	_, _, errs := m.VectorizeBatch(t.Context(), []*models.Object{without, skipped}, []bool{false, true}, configOf(class, "still"))
	if len(errs) != 0 {
		t.Fatal(errs)
	}
	for target, want := range map[string]float64{"title": 0, "still": 1, "small": 0} {
		if got := counted(target) - before[target]; got != want {
			t.Errorf("%s: counted %v, want %v", target, got, want)
		}
	}
}

func TestOneCallServesAllTargetsThatSkipTheSameObjects(t *testing.T) {
	fake := &fakeService{}
	class := gallery(fourTargets)
	m := module(t, fake.served(t), class)
	skip := map[string][]bool{}
	for name := range fourTargets {
		skip[name] = []bool{false, true, false}
	}
	got := vectorizeAll(m, class, films(3), skip)
	for name, result := range got {
		if len(result.errs) != 0 || result.vectors[0] == nil || result.vectors[1] != nil || result.vectors[2] == nil {
			t.Errorf("%s: %v", name, result)
		}
	}
	if asked := fake.asked(); len(asked) != 1 || len(asked[0].Items) != 2 || len(asked[0].Targets) != 4 {
		t.Errorf("%v", asked)
	}
}
