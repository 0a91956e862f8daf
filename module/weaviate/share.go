package prism

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/weaviate/weaviate/entities/models"
)

// Weaviate asks the module once per target vector, at a time or one after the other, with the same objects. So the
// first of these calls computes all targets of the collection: media are read, sent and decoded once. The others
// find its result here.

// A later call waits at most for other vectorizers of the same collection; the vectors must not stay for long.
const shareLifetime = 10 * time.Second

// sharing holds the calls whose results others may still come for.
type sharing struct {
	lock  sync.Mutex
	calls map[shareKey]*sharedCall
}

// shareKey holds strong pointers: no other object can have the same address while it lives.
type shareKey struct {
	first, last *models.Object
	count       int
}

// sharedCall is one computation for several targets, run by its first caller.
type sharedCall struct {
	skip    []bool              // objects without these vectors
	open    map[string]settings // targets whose caller has not come
	callers int                 // waiting, the first included
	cancel  context.CancelFunc
	done    chan struct{}
	results map[string]outcome // complete when done is closed
	err     error              // instead of results
}

type computation func(context.Context, []target) map[string]outcome

// vectors returns the outcome of one target, from a computation of `all` where another caller has done it or will
// come for the rest. `all` must include `own`.
func (s *sharing) vectors(ctx context.Context, objects []*models.Object, skip []bool, own target, all []target,
	compute computation,
) (outcome, error) {
	key := shareKey{objects[0], objects[len(objects)-1], len(objects)}
	call, first := s.join(key, skip, own, all)
	if call == nil {
		return compute(ctx, []target{own})[own.name], nil
	}
	if !first {
		return s.await(ctx, key, call, own.name)
	}
	return s.lead(ctx, key, call, own.name, all, compute)
}

// join returns nil where the call under way is not for this target, for other settings of it, or skips other objects.
func (s *sharing) join(key shareKey, skip []bool, own target, all []target) (call *sharedCall, first bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if call := s.calls[key]; call != nil {
		expected, open := call.open[own.name]
		if !open || !reflect.DeepEqual(expected, own.settings) || !slices.Equal(call.skip, skip) {
			return nil, false
		}
		delete(call.open, own.name)
		if len(call.open) == 0 {
			delete(s.calls, key) // all have come
		}
		call.callers++
		return call, false
	}
	call = &sharedCall{skip: skip, open: map[string]settings{}, callers: 1, done: make(chan struct{})}
	for _, t := range all {
		if t.name != own.name {
			call.open[t.name] = t.settings
		}
	}
	if s.calls == nil {
		s.calls = map[shareKey]*sharedCall{}
	}
	s.calls[key] = call
	return call, true
}

// lead computes in the caller's own goroutine, since Weaviate changes the objects once all its calls are back. Its
// context does not end the computation as long as others wait for it.
func (s *sharing) lead(ctx context.Context, key shareKey, call *sharedCall, name string, all []target, compute computation,
) (outcome, error) {
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.lock.Lock()
	call.cancel = cancel
	s.lock.Unlock()
	call.err = errors.New("prism: the call that computed this vector as well broke down") // unless it returns
	defer s.finish(key, call)
	stop := context.AfterFunc(ctx, func() { s.leave(key, call) })
	defer stop()
	call.results, call.err = compute(detached, all), nil
	result := call.results[name]
	delete(call.results, name)
	return result, nil
}

func (s *sharing) await(ctx context.Context, key shareKey, call *sharedCall, name string) (outcome, error) {
	select {
	case <-call.done:
	case <-ctx.Done():
		s.leave(key, call)
		return outcome{}, ctx.Err()
	}
	if call.err != nil {
		return outcome{}, call.err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	result := call.results[name]
	delete(call.results, name)
	return result, nil
}

// leave ends a computation that nobody waits for. Whoever comes later starts anew.
func (s *sharing) leave(key shareKey, call *sharedCall) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if call.callers--; call.callers == 0 {
		call.cancel()
		s.remove(key, call)
	}
}

// finish lets the others go on, and forgets the call after a while for those that never come.
func (s *sharing) finish(key shareKey, call *sharedCall) {
	close(call.done)
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.calls[key] != call {
		return
	}
	time.AfterFunc(shareLifetime, func() {
		s.lock.Lock()
		defer s.lock.Unlock()
		s.remove(key, call)
	})
}

// remove needs the lock. Another call may have the key by now.
func (s *sharing) remove(key shareKey, call *sharedCall) {
	if s.calls[key] == call {
		delete(s.calls, key)
	}
}
