package prism

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/weaviate/weaviate/entities/models"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"prism.local/weaviate/prismv1"
)

var (
	titles = target{"title", settings{fields: []field{{"title", isText, 0}}}}
	stills = target{"still", settings{fields: []field{{"still", isImage, 0}}}}
	both   = target{"both", settings{fields: []field{{"title", isText, 0}, {"still", isImage, 0}}}}
)

func object(number int, properties map[string]any) *models.Object {
	return &models.Object{
		Class: "Film", ID: strfmt.UUID(fmt.Sprintf("00000000-0000-0000-0000-%012d", number)), Properties: properties,
		CreationTimeUnix: 1, LastUpdateTimeUnix: 1,
	}
}

func media(content string) string { return base64.StdEncoding.EncodeToString([]byte(content)) }

func films(n int) []*models.Object {
	objects := make([]*models.Object, n)
	for i := range objects {
		objects[i] = object(i, map[string]any{"title": fmt.Sprint("film ", i), "still": media(fmt.Sprint("still ", i))})
	}
	return objects
}

func run(c *client, objects []*models.Object, skip []bool, targets ...target) map[string]outcome {
	if skip == nil {
		skip = make([]bool, len(objects))
	}
	b := batch{client: c, objects: objects, targets: targets}
	return b.run(context.Background(), skip)
}

// is compares a vector with that of a text, as the fake service reads it.
func is(vector []float32, text string) bool {
	want := fakeVector(text)
	return len(vector) == fakeDimensions && vector[0] == want[0] && vector[1] == want[1]
}

func TestEveryObjectGetsTheVectorOfItsOwnParts(t *testing.T) {
	fake := &fakeService{}
	c := fake.served(t)
	got := run(c, films(3), nil, titles, both)
	for i := range 3 {
		title, still := fmt.Sprint("film ", i), fmt.Sprint("still ", i)
		if !is(got["title"].vectors[i], title+";") || !is(got["both"].vectors[i], title+";"+still+";") {
			t.Errorf("object %d: %v, %v", i, got["title"], got["both"])
		}
	}
	if len(got["title"].errs)+len(got["both"].errs) != 0 || len(fake.asked()) != 1 {
		t.Errorf("%v in %d calls", got, len(fake.asked()))
	}
	request := fake.asked()[0]
	if request.Task != prismv1.Task_TASK_DOCUMENT || request.Collection != "Film" || len(request.Items[0].Parts) != 2 {
		t.Errorf("%v", request)
	}
}

func TestWhatTheConfigSaysIsSent(t *testing.T) {
	fake := &fakeService{}
	c := fake.served(t)
	s := settings{
		fields: []field{{"title", isText, 1}, {"still", isImage, 3}}, weighted: true, model: "big", instruction: "store",
		queryInstruction: "find", dimensions: 2, fusion: prismv1.Fusion_FUSION_MEAN,
	}
	got := run(c, films(1), nil, target{"v", s})
	sent := fake.asked()[0].Targets[0]
	if sent.Name != "v" || sent.Model != "big" || sent.Instruction != "store" || sent.Dimensions != 2 ||
		sent.Fusion != prismv1.Fusion_FUSION_MEAN || fmt.Sprint(sent.Fields, sent.Weights) != "[title still] [1 3]" {
		t.Errorf("%v", sent)
	}
	if len(got["v"].vectors[0]) != 2 {
		t.Errorf("%v", got)
	}
}

func TestOneBadItemFailsAloneAndByItsID(t *testing.T) {
	fake := &fakeService{}
	c := fake.served(t)
	objects := films(4)
	objects[1].Properties.(map[string]any)["still"] = media("bad")         // refused by the service
	objects[2].Properties.(map[string]any)["still"] = "this is not base64" // refused here
	got := run(c, objects, nil, titles, both)
	for i := range objects {
		failed := i == 1 || i == 2
		if err := got["both"].errs[i]; failed != (err != nil) || failed && !strings.HasPrefix(err.Error(), objects[i].ID.String()+": ") {
			t.Errorf("object %d: %v", i, err)
		}
		if failed != (got["both"].vectors[i] == nil) || got["title"].vectors[i] == nil || got["title"].errs[i] != nil {
			t.Errorf("object %d: %v", i, got)
		}
	}
	if !strings.Contains(got["both"].errs[2].Error(), `property "still"`) {
		t.Error(got["both"].errs[2])
	}
}

func TestObjectsThatAreSkippedAreLeftAlone(t *testing.T) {
	fake := &fakeService{}
	c := fake.served(t)
	got := run(c, films(3), []bool{true, false, true}, titles)["title"]
	if got.vectors[0] != nil || !is(got.vectors[1], "film 1;") || got.vectors[2] != nil || len(got.errs) != 0 || len(got.vectors) != 3 {
		t.Errorf("%v", got)
	}
	if len(fake.asked()[0].Items) != 1 {
		t.Errorf("%v", fake.asked())
	}
	run(c, films(3), []bool{true, true, true}, titles)
	if len(fake.asked()) != 1 {
		t.Error("a call without items")
	}
}

func TestTargetsReadOnlyTheItemsThatHaveTheirFields(t *testing.T) {
	fake := &fakeService{}
	c := fake.served(t)
	objects := films(3)
	delete(objects[0].Properties.(map[string]any), "still")
	objects[1].Properties = nil
	got := run(c, objects, nil, titles, stills)
	if !is(got["title"].vectors[0], "film 0;") || got["still"].vectors[0] != nil || !is(got["still"].vectors[2], "still 2;") {
		t.Errorf("%v", got)
	}
	if got["title"].vectors[1] != nil || len(got["title"].errs)+len(got["still"].errs) != 0 {
		t.Errorf("%v", got)
	}
	request := fake.asked()[0]
	if len(request.Items) != 2 || len(request.Targets[0].Items) != 0 || fmt.Sprint(request.Targets[1].Items) != "[1]" {
		t.Errorf("%v", request)
	}
}

func TestATargetThatNoItemWantsIsNotAsked(t *testing.T) {
	fake := &fakeService{}
	c := fake.served(t)
	got := run(c, []*models.Object{object(1, map[string]any{"title": "storm"})}, nil, stills, titles)
	if request := fake.asked()[0]; len(request.Targets) != 1 || request.Targets[0].Name != "title" {
		t.Errorf("%v", request)
	}
	if !is(got["title"].vectors[0], "storm;") {
		t.Errorf("%v", got)
	}
}

func TestObjectsWithoutFieldsAreLeftAloneOrRefused(t *testing.T) {
	fake := &fakeService{}
	c := fake.served(t)
	without := []*models.Object{object(1, map[string]any{"title": "storm"})}
	if got := run(c, without, nil, stills)["still"]; got.vectors[0] != nil || len(got.errs) != 0 || len(fake.asked()) != 0 {
		t.Errorf("%v after %v", got, fake.asked())
	}
	strict := stills
	strict.settings.requireVector = true
	if got := run(c, without, nil, strict)["still"]; got.errs[0] == nil || !strings.Contains(got.errs[0].Error(), "requireVector") {
		t.Errorf("%v", got)
	}
}

func TestAnswersThatDoNotFitAreErrorsOfEveryObject(t *testing.T) {
	for name, change := range map[string]func(*prismv1.VectorizeRequest, *prismv1.VectorizeResponse){
		"a block is missing": func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) { r.Blocks = r.Blocks[:1] },
		"blocks in another order": func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) {
			r.Blocks[0], r.Blocks[1] = r.Blocks[1], r.Blocks[0]
		},
		"a row is missing": func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) {
			r.Blocks[0].Vectors = r.Blocks[0].Vectors[4*fakeDimensions:]
		},
		"no dimensions": func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) {
			r.Blocks[0].Dimensions, r.Blocks[0].Vectors = 0, nil
		},
		"a row of zeros": func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) {
			for _, block := range r.Blocks {
				clear(block.Vectors)
			}
		},
		"an error of nothing": func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) {
			r.Errors = append(r.Errors, &prismv1.ItemError{Index: 99, Target: "title"}, &prismv1.ItemError{Target: "other"})
			clear(r.Blocks[0].Vectors)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := (&fakeService{after: change}).served(t)
			got := run(c, films(2), nil, titles, both)["title"]
			for i := range 2 {
				if got.vectors[i] != nil || got.errs[i] == nil {
					t.Errorf("object %d: %v, %v", i, got.vectors[i], got.errs[i])
				}
			}
		})
	}
}

func TestVectorsOfOtherDimensionsThanConfiguredAreAnError(t *testing.T) {
	c := (&fakeService{after: func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) {
		r.Blocks[0].Dimensions, r.Blocks[0].Vectors = 3, append(r.Blocks[0].Vectors, 0, 0, 0, 0)
	}}).served(t)
	got := run(c, films(1), nil, target{"v", settings{fields: titles.settings.fields, dimensions: 2}})["v"]
	if got.errs[0] == nil || !strings.Contains(got.errs[0].Error(), "vectors of 3 dimensions, want 2") {
		t.Errorf("%v", got)
	}
}

func TestARefusedCallIsTheErrorOfAllItsObjects(t *testing.T) {
	c := (&fakeService{before: func(context.Context, *prismv1.VectorizeRequest) error {
		return status.Error(codes.NotFound, `model: "small" is not loaded`)
	}}).served(t)
	objects := films(2)
	got := run(c, objects, nil, titles)["title"]
	for i, o := range objects {
		if want := o.ID.String() + `: title: prism: NotFound: model: "small" is not loaded`; got.errs[i] == nil || got.errs[i].Error() != want {
			t.Errorf("got %v, want %s", got.errs[i], want)
		}
	}
}

func TestItemsThatCannotBeTakenJustNowAreSentAgainAlone(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.ResourceExhausted} {
		var calls atomic.Int32
		fake := &fakeService{after: func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) {
			if calls.Add(1) == 1 {
				r.Errors = append(r.Errors, &prismv1.ItemError{Index: 1, Target: "both", Code: uint32(code), Message: "not now"})
				clear(r.Blocks[1].Vectors[4*fakeDimensions:])
			}
		}}
		c := fake.served(t)
		got := run(c, films(2), nil, titles, both)
		if len(got["both"].errs) != 0 || !is(got["both"].vectors[1], "film 1;still 1;") || !is(got["title"].vectors[1], "film 1;") {
			t.Fatalf("%s: %v", code, got)
		}
		if again := fake.asked()[1]; len(again.Items) != 1 || len(again.Targets) != 1 || again.Targets[0].Name != "both" {
			t.Errorf("%s: %v", code, again)
		}
	}
}

// oneByOne makes a client send an object per call.
func oneByOne(c *client) *client {
	c.told.Store(&prismv1.InfoResponse{Limits: map[string]uint64{"max_items": 1}})
	return c
}

func TestAServiceThatHangsIsGivenUpAfterOneTimeout(t *testing.T) {
	fake := &fakeService{before: func(ctx context.Context, _ *prismv1.VectorizeRequest) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	path := socket(t)
	fake.listen(t, path)
	c := oneByOne(dial(t, environment{address: "unix://" + path, timeout: 500 * time.Millisecond}))
	start := time.Now()
	got := run(c, films(3*chunkCalls), nil, titles)["title"]
	if waited := time.Since(start); waited >= 2*c.timeout {
		t.Errorf("took %s, %d calls", waited, len(fake.asked()))
	}
	var late, givenUp int
	for i := range 3 * chunkCalls {
		switch message := fmt.Sprint(got.errs[i]); {
		case strings.Contains(message, ": title: Prism did not answer within 500ms (PRISM_MODULE_TIMEOUT)") && !strings.Contains(message, "given up"):
			late++
		case strings.Contains(message, "given up, since no call was answered for 500ms: Prism did not answer within 500ms (PRISM_MODULE_TIMEOUT)"):
			givenUp++
		default:
			t.Errorf("object %d: %s", i, message)
		}
	}
	if late == 0 || givenUp < 2*chunkCalls {
		t.Errorf("%d late, %d given up", late, givenUp)
	}
}

func TestOneSlowChunkDoesNotEndTheOthers(t *testing.T) {
	fake := &fakeService{before: func(ctx context.Context, request *prismv1.VectorizeRequest) error {
		wait := 100 * time.Millisecond // so that the batch takes longer than the timeout
		if request.Items[0].Parts[0].GetText() == "film 0" {
			wait = time.Hour
		}
		select {
		case <-time.After(wait):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	path := socket(t)
	fake.listen(t, path)
	c := oneByOne(dial(t, environment{address: "unix://" + path, timeout: time.Second}))
	got := run(c, films(15*chunkCalls), nil, titles)["title"]
	if len(got.errs) != 1 || got.errs[0] == nil {
		t.Errorf("%v", got.errs)
	}
}

func TestLargeBatchesTravelInSeveralCallsAtATime(t *testing.T) {
	together := make(chan struct{})
	var inFlight atomic.Int32
	fake := &fakeService{before: func(ctx context.Context, _ *prismv1.VectorizeRequest) error {
		if inFlight.Add(1) == chunkCalls {
			close(together)
		}
		select {
		case <-together:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	c := fake.served(t)
	objects := films(chunkCalls)
	for i, o := range objects {
		o.Properties.(map[string]any)["still"] = media(strings.Repeat(fmt.Sprint(i), chunkBytes))
	}
	got := run(c, objects, nil, stills)["still"]
	for i := range objects {
		if !is(got.vectors[i], strings.Repeat(fmt.Sprint(i), chunkBytes)+";") {
			t.Errorf("object %d: %v", i, got.errs[i])
		}
	}
	if len(fake.asked()) != chunkCalls {
		t.Errorf("%d calls", len(fake.asked()))
	}
}

func TestADigestThatIsRefusedTellsWhatToDo(t *testing.T) {
	c := (&fakeService{after: func(_ *prismv1.VectorizeRequest, r *prismv1.VectorizeResponse) {
		r.Errors = append(r.Errors, &prismv1.ItemError{Target: "still", Code: uint32(codes.Unimplemented), Message: "digest: no media stored"})
		clear(r.Blocks[0].Vectors)
	}}).served(t)
	got := run(c, []*models.Object{object(1, map[string]any{"still": digest})}, nil, stills)["still"]
	if got.errs[0] == nil || !strings.Contains(got.errs[0].Error(), "(PUT)") {
		t.Errorf("%v", got)
	}
}

func TestTheTenantIsThatOfTheObjectsIfTheyShareOne(t *testing.T) {
	fake := &fakeService{}
	c := fake.served(t)
	objects := films(2)
	objects[0].Tenant, objects[1].Tenant = "a", "a"
	run(c, objects, nil, titles)
	objects[1].Tenant = "b"
	run(c, objects, nil, titles)
	if asked := fake.asked(); asked[0].Tenant != "a" || asked[1].Tenant != "" {
		t.Errorf("%v", asked)
	}
}
