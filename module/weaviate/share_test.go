package prism

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sharers are callers for the targets of the same objects.
type sharers struct {
	sharing
	group   sync.WaitGroup
	results map[string]outcome
	errs    map[string]error
	guard   sync.Mutex
	calls   [][]string // targets of each computation
}

// computing answers after some time, or when its context ends.
func (s *sharers) computing(after time.Duration) computation {
	return func(ctx context.Context, targets []target) map[string]outcome {
		names := []string{}
		for _, t := range targets {
			names = append(names, t.name)
		}
		s.guard.Lock()
		s.calls = append(s.calls, names)
		s.guard.Unlock()
		found := map[string]outcome{}
		select {
		case <-time.After(after):
			for _, name := range names {
				found[name] = outcome{vectors: [][]float32{{float32(len(name))}}}
			}
		case <-ctx.Done():
			for _, name := range names {
				found[name] = outcome{vectors: [][]float32{nil}, errs: map[int]error{0: ctx.Err()}}
			}
		}
		return found
	}
}

// held is the number of computations that others may still come for.
func (s *sharing) held() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	return len(s.calls)
}

func (s *sharing) expectHeld(t *testing.T, want int) {
	t.Helper()
	if got := s.held(); got != want {
		t.Errorf("%d held, want %d", got, want)
	}
}

var shared3 = []target{{name: "a"}, {name: "bb"}, {name: "ccc"}}

func (s *sharers) start(ctx context.Context, own target) {
	if s.results == nil {
		s.results, s.errs = map[string]outcome{}, map[string]error{}
	}
	s.group.Go(func() {
		result, err := s.vectors(ctx, sharedFilms, make([]bool, 2), own, shared3, s.computing(time.Second))
		s.guard.Lock()
		defer s.guard.Unlock()
		s.results[own.name], s.errs[own.name] = result, err
	})
}

var sharedFilms = films(2)

func (s *sharers) expect(t *testing.T, calls ...[]string) {
	t.Helper()
	for _, own := range shared3 {
		if result, ok := s.results[own.name]; ok && s.errs[own.name] == nil {
			if got := result.vectors[0]; len(result.errs) == 0 && (len(got) != 1 || got[0] != float32(len(own.name))) {
				t.Errorf("%s: %v", own.name, got)
			}
		}
	}
	if !reflect.DeepEqual(s.calls, calls) {
		t.Errorf("calls %v, want %v", s.calls, calls)
	}
}

func TestTargetsThatComeTogetherShareOneComputation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sharers{}
		for _, own := range shared3 {
			s.start(t.Context(), own)
		}
		s.group.Wait()
		s.expect(t, []string{"a", "bb", "ccc"})
		s.expectHeld(t, 0)
		if len(s.results) != 3 {
			t.Errorf("%v", s.results)
		}
	})
}

func TestTargetsThatComeOneAfterTheOtherShareOneComputation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sharers{}
		for _, own := range shared3 {
			s.start(t.Context(), own)
			s.group.Wait()
		}
		s.expect(t, []string{"a", "bb", "ccc"})
		s.expectHeld(t, 0)
	})
}

func TestAResultThatNobodyFetchesVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sharers{}
		s.start(t.Context(), shared3[0])
		s.group.Wait()
		s.expectHeld(t, 1)
		time.Sleep(shareLifetime)
		synctest.Wait()
		s.expectHeld(t, 0)
	})
}

func TestATargetThatComesTwiceOrWithOtherSettingsIsComputedByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sharers{}
		s.start(t.Context(), shared3[0])
		s.group.Wait()
		s.start(t.Context(), shared3[0]) // the objects may have changed since
		s.group.Wait()
		s.start(t.Context(), target{"bb", settings{dimensions: 3}})
		s.group.Wait()
		s.expect(t, []string{"a", "bb", "ccc"}, []string{"a"}, []string{"bb"})
	})
}

func TestACancelledFirstCallerDoesNotFailTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sharers{}
		ctx, cancel := context.WithCancel(t.Context())
		s.start(ctx, shared3[0])
		synctest.Wait()
		s.start(t.Context(), shared3[1])
		synctest.Wait()
		cancel()
		s.group.Wait()
		s.expect(t, []string{"a", "bb", "ccc"})
		if s.errs["bb"] != nil || len(s.results["bb"].errs) != 0 {
			t.Errorf("%v, %v", s.results["bb"], s.errs["bb"])
		}
	})
}

func TestAComputationThatNobodyWaitsForEndsAndIsNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sharers{}
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		s.start(ctx, shared3[0])
		synctest.Wait()
		cancel()
		synctest.Wait()
		if waited := time.Since(start); waited != 0 || !errors.Is(s.results["a"].errs[0], context.Canceled) {
			t.Errorf("%s, %v", waited, s.results)
		}
		s.start(t.Context(), shared3[1])
		s.group.Wait()
		s.expect(t, []string{"a", "bb", "ccc"}, []string{"a", "bb", "ccc"})
	})
}

func TestACallerThatIsCancelledLeavesTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sharers{}
		ctx, cancel := context.WithCancel(t.Context())
		s.start(t.Context(), shared3[0])
		synctest.Wait()
		s.start(ctx, shared3[1])
		synctest.Wait()
		cancel()
		s.group.Wait()
		if !errors.Is(s.errs["bb"], context.Canceled) || len(s.results["a"].errs) != 0 {
			t.Errorf("%v, %v", s.errs, s.results)
		}
	})
}

func TestAFirstCallerThatPanicsFailsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sharers{}
		go func() {
			defer func() { _ = recover() }() // as Weaviate does
			_, _ = s.vectors(t.Context(), sharedFilms, make([]bool, 2), shared3[0], shared3, func(context.Context, []target) map[string]outcome {
				time.Sleep(time.Second)
				panic("broken")
			})
		}()
		synctest.Wait()
		s.start(t.Context(), shared3[1])
		s.group.Wait()
		if s.errs["bb"] == nil {
			t.Errorf("%v", s.results)
		}
	})
}
