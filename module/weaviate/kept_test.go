package prism

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/weaviate/weaviate/entities/search"

	"prism.local/weaviate/prismv1"
)

// keeper is a service that keeps the media of documents, and scores each by the first byte of its last one.
type keeper struct {
	fakeReranker
	lock     sync.Mutex
	media    map[string]string // by digest
	offers   bool
	ranksBad bool // scores what it cannot read lowest, instead of an error
}

func (k *keeper) serve(t *testing.T) *reranker {
	k.answer, k.media = k.score, map[string]string{}
	weaviate(t, filmClass(map[string]any{"imageFields": []any{"still", "poster"}}), &fakeStore{})
	return k.fakeReranker.serve(t)
}

func (k *keeper) score(_ context.Context, request *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
	k.lock.Lock()
	defer k.lock.Unlock()
	response := &prismv1.RerankResponse{KeepsMedia: k.offers}
	for i, document := range request.GetDocuments() {
		score, failure := float32(0), codes.OK
		for _, part := range document.GetParts() {
			data := string(part.GetData())
			if digest := part.GetDigest(); digest != "" {
				data = k.media[digest]
				if data == "" {
					failure = codes.Unimplemented
				}
			}
			if strings.HasPrefix(data, "bad") {
				failure = codes.InvalidArgument
			}
			if failure == codes.OK {
				k.media[digestOf(base64Of(data))] = data
				score = float32(data[0])
			}
		}
		if failure != codes.OK {
			score = lowestScore
			if !k.ranksBad {
				response.Errors = append(response.Errors, &prismv1.ItemError{Index: uint32(i), Code: uint32(failure)})
			}
		}
		response.Scores = append(response.Scores, score)
	}
	return response, nil
}

// sent tells of each document of each call so far how it came, and forgets the calls.
func (k *keeper) sent() [][]string {
	k.fakeReranker.lock.Lock()
	defer k.fakeReranker.lock.Unlock()
	calls := [][]string{}
	for _, request := range k.requests {
		call := []string{}
		for _, document := range request.GetDocuments() {
			call = append(call, describe(document))
		}
		calls = append(calls, call)
	}
	k.requests = nil
	return calls
}

func framed(contents ...string) []search.Result {
	results := make([]search.Result, len(contents))
	for i, content := range contents {
		results[i] = film(i, map[string]any{"still": base64Of(content), "poster": nil})
	}
	return results
}

// search reranks and returns the order of the results.
func (k *keeper) search(t *testing.T, m *reranker, results []search.Result) []int {
	t.Helper()
	ranked, err := rerank(t, m, overGRPC("q", "still"), nil, results...)
	if err != nil {
		t.Fatal(err)
	}
	return order(ranked)
}

func TestMediaThatTheServiceKeepsAreNotSentAgain(t *testing.T) {
	k := &keeper{offers: true}
	m := k.serve(t)
	whole, digests := []string{"image:a", "image:c", "image:b"}, []string{"image:digest", "image:digest", "image:digest"}
	// the first answer offers, with the second it is known what is kept
	for i, want := range [][]string{whole, whole, digests, digests} {
		if got := k.search(t, m, framed("a", "c", "b")); !reflect.DeepEqual(got, []int{1, 2, 0}) {
			t.Errorf("search %d: order %v", i, got)
		}
		if got := k.sent(); !reflect.DeepEqual(got, [][]string{want}) {
			t.Errorf("search %d: sent %v", i, got)
		}
	}
	k.search(t, m, framed("c", "d"))
	if got := k.sent(); !reflect.DeepEqual(got, [][]string{{"image:digest", "image:d"}}) {
		t.Errorf("sent %v", got)
	}
}

func TestAServiceThatKeepsNoMediaGetsThemEachTime(t *testing.T) {
	k := &keeper{}
	m := k.serve(t)
	for range 3 {
		k.search(t, m, framed("a"))
	}
	if got := k.sent(); !reflect.DeepEqual(got, [][]string{{"image:a"}, {"image:a"}, {"image:a"}}) {
		t.Errorf("sent %v", got)
	}
}

func TestMediaThatTheServiceHasDroppedAreSentOnceMore(t *testing.T) {
	for _, ranksBad := range []bool{false, true} {
		k := &keeper{offers: true, ranksBad: ranksBad}
		m := k.serve(t)
		for range 2 {
			k.search(t, m, framed("a", "c", "b"))
		}
		k.sent()
		delete(k.media, digestOf(base64Of("c")))
		if got := k.search(t, m, framed("a", "c", "b")); !reflect.DeepEqual(got, []int{1, 2, 0}) {
			t.Errorf("order %v", got)
		}
		want := [][]string{{"image:digest", "image:digest", "image:digest"}, {"image:c"}}
		if got := k.sent(); !reflect.DeepEqual(got, want) {
			t.Errorf("sent %v", got)
		}
		k.search(t, m, framed("c"))
		if got := k.sent(); !reflect.DeepEqual(got, [][]string{{"image:digest"}}) {
			t.Errorf("sent %v", got)
		}
	}
}

func TestDocumentsThatCannotBeScoredAreNotTakenForKept(t *testing.T) {
	k := &keeper{offers: true, ranksBad: true}
	m := k.serve(t)
	for range 3 {
		if got := k.search(t, m, framed("bad", "a")); !reflect.DeepEqual(got, []int{1, 0}) {
			t.Errorf("order %v", got)
		}
		if calls := k.sent(); len(calls) != 1 || calls[0][0] != "image:bad" {
			t.Errorf("sent %v", calls)
		}
	}
}

func TestTheDigestOfABlobHashIsNotSentTwice(t *testing.T) {
	k := &keeper{offers: true}
	m := k.serve(t)
	for range 3 {
		hashed := film(0, map[string]any{"still": nil, "poster": digest})
		_, err := rerank(t, m, overGRPC("q", "poster"), nil, append(framed("b"), hashed)...)
		if err == nil || !strings.Contains(err.Error(), "Unimplemented") {
			t.Errorf("got %v", err)
		}
	}
	if calls := k.sent(); len(calls) != 3 {
		t.Errorf("sent %v", calls)
	}
}

func TestDocumentsThatFailForOtherReasonsAreNotSentAgain(t *testing.T) {
	k := &keeper{offers: true}
	m := k.serve(t)
	for range 2 {
		k.search(t, m, framed("a"))
	}
	k.sent()
	k.answer = func(context.Context, *prismv1.RerankRequest) (*prismv1.RerankResponse, error) {
		failure := &prismv1.ItemError{Code: uint32(codes.ResourceExhausted)}
		return &prismv1.RerankResponse{Scores: []float32{lowestScore}, Errors: []*prismv1.ItemError{failure}, KeepsMedia: true}, nil
	}
	if _, err := rerank(t, m, overGRPC("q", "still"), nil, framed("a")...); err == nil {
		t.Error("no error")
	}
	k.answer = k.score
	k.search(t, m, framed("a"))
	if got := k.sent(); !reflect.DeepEqual(got, [][]string{{"image:digest"}, {"image:digest"}}) {
		t.Errorf("sent %v", got)
	}
}

func TestBase64ThatIsNotStandardIsSentEachTime(t *testing.T) {
	k := &keeper{offers: true}
	m := k.serve(t)
	for range 4 {
		for _, text := range []string{"YWxw\nYWI=", "YWI=", "YWJ="} { // the last has stray bits
			k.search(t, m, []search.Result{film(0, map[string]any{"still": text, "poster": nil})})
		}
	}
	want := [][]string{{"image:alpab"}, {"image:ab"}, {"image:ab"}}
	if calls := k.sent(); !reflect.DeepEqual(calls[9:], [][]string{want[0], {"image:digest"}, want[2]}) {
		t.Errorf("sent %v", calls)
	}
}

func TestSearchesSideBySideSendWhatIsMissing(t *testing.T) {
	k := &keeper{offers: true}
	m := k.serve(t)
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			names := []string{"a", "c", "b"}
			if i%4 == 0 {
				k.lock.Lock()
				delete(k.media, digestOf(base64Of(names[i/4%3])))
				k.lock.Unlock()
			}
			ranked, err := rerank(t, m, overGRPC("q", "still"), nil, framed(names...)...)
			if err != nil || fmt.Sprint(order(ranked)) != "[1 2 0]" {
				t.Errorf("%v, %v", order(ranked), err)
			}
		})
	}
	group.Wait()
}
