package prism

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	"github.com/weaviate/weaviate/entities/models"

	"prism.local/weaviate/prismv1"
)

// outcome is what became of one target: a row per object, and an error for those that failed.
type outcome struct {
	vectors [][]float32
	errs    map[int]error
}

// pending is an item on its way: the object that it is made of, and the targets that still want its vector.
type pending struct {
	object int
	item   *prismv1.Item
	wanted []bool // by target
}

// batch computes vectors for objects. An object gets a vector or an error for each target of which it has a field,
// and neither for others; so do objects that are skipped.
type batch struct {
	client   *client
	objects  []*models.Object
	targets  []target
	fields   []field // of all targets
	outcomes []outcome
	lock     sync.Mutex // of the outcomes' errors while calls are on their way
	answered time.Time  // when the service last answered any of the calls; under the lock
}

func (b *batch) run(ctx context.Context, skip []bool) map[string]outcome {
	b.fields = union(b.targets)
	b.outcomes = make([]outcome, len(b.targets))
	for t := range b.outcomes {
		b.outcomes[t] = outcome{make([][]float32, len(b.objects)), map[int]error{}}
	}
	var positions, sizes []int
	for i, object := range b.objects {
		if !skip[i] {
			size, _ := measure(b.fields, object.Properties)
			positions, sizes = append(positions, i), append(sizes, size)
		}
	}
	b.computeAll(ctx, positions, chunks(sizes, chunkBytes, b.client.itemsPerCall(len(b.targets))))
	named := make(map[string]outcome, len(b.targets))
	for t, target := range b.targets {
		named[target.name] = b.outcomes[t]
	}
	return named
}

// computeAll keeps several chunks of the positions on their way, each of which decodes its own media. A chunk may take
// as long as the timeout; but where the service has answered none for that long, the rest is given up.
func (b *batch) computeAll(ctx context.Context, positions []int, chunks [][2]int) {
	b.answered = time.Now()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var calls errgroup.Group
	calls.SetLimit(chunkCalls)
	for _, chunk := range chunks {
		calls.Go(func() error {
			if waiting := b.prepareAll(positions[chunk[0]:chunk[1]]); len(waiting) > 0 {
				b.send(ctx, waiting, giveUp)
				b.assertComplete(waiting)
			}
			return nil
		})
	}
	_ = calls.Wait() // errors are kept per object
}

func (b *batch) prepareAll(positions []int) []pending {
	var waiting []pending
	for _, i := range positions {
		if p := b.prepare(i); slices.Contains(p.wanted, true) {
			waiting = append(waiting, p)
		}
	}
	return waiting
}

// prepare makes one item of all fields that any target reads. A field that cannot be read fails only its targets.
func (b *batch) prepare(i int) pending {
	object := b.objects[i]
	made, failed := map[field][]*prismv1.Part{}, map[field]error{}
	for _, f := range b.fields {
		if found, err := parts([]field{f}, object.Properties, mediaPart); err != nil {
			failed[f] = err
		} else {
			made[f] = found
		}
	}
	p := pending{object: i, item: &prismv1.Item{Id: object.ID.String()}, wanted: make([]bool, len(b.targets))}
	used := map[field]bool{}
	for t, target := range b.targets {
		count := 0
		var errs []error
		for _, f := range target.settings.fields {
			count += len(made[f.plain()])
			errs = append(errs, failed[f.plain()])
		}
		switch err := errors.Join(errs...); {
		case err != nil:
			b.fail(i, t, err)
		case count > 0:
			p.wanted[t] = true
			for _, f := range target.settings.fields {
				used[f.plain()] = true
			}
		case target.settings.requireVector:
			b.fail(i, t, fmt.Errorf("requireVector: the object has none of the properties %q", target.settings.names()))
		}
	}
	for _, f := range b.fields {
		if used[f] {
			p.item.Parts = append(p.item.Parts, made[f]...)
		}
	}
	return p
}

// send asks for one chunk, and again for those of its items that the service could not take just now.
func (b *batch) send(ctx context.Context, waiting []pending, giveUp context.CancelCauseFunc) {
	ctx, cancel := context.WithTimeout(ctx, b.client.timeout)
	defer cancel()
	for pause := backOff(); len(waiting) > 0; {
		request, asked := b.request(waiting)
		response, err := b.client.vectorize(ctx, request)
		if err == nil {
			err = checkBlocks(request, response)
		}
		if err == nil {
			if waiting = b.record(waiting, asked, response); len(waiting) == 0 || pause(ctx) {
				continue
			}
			err = fmt.Errorf("prism: %w before the service could take it", ctx.Err())
		}
		if expired(err) {
			// at the service, a deadline may pass a moment sooner
			if b.silence() > b.client.timeout*9/10 {
				giveUp(fmt.Errorf("prism: given up, since no call was answered for %s: %w", b.client.timeout, err))
			}
		} else if errors.Is(ctx.Err(), context.Canceled) {
			err = context.Cause(ctx)
		}
		b.failAll(waiting, err)
		return
	}
}

// expired tells whether a call waited to the end. One that finds the service unavailable is repeated until then.
func expired(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || codeOf(err) == codes.DeadlineExceeded
}

// silence is for how long the service has answered nothing.
func (b *batch) silence() time.Duration {
	b.lock.Lock()
	defer b.lock.Unlock()
	return time.Since(b.answered)
}

// request also returns the positions of its targets among the batch's: those that no item wants are left out.
func (b *batch) request(waiting []pending) (*prismv1.VectorizeRequest, []int) {
	request := &prismv1.VectorizeRequest{
		Task:       prismv1.Task_TASK_DOCUMENT,
		Collection: b.objects[0].Class,
		Tenant:     commonTenant(b.objects),
	}
	for _, p := range waiting {
		request.Items = append(request.Items, p.item)
	}
	var asked []int
	for t, each := range b.targets {
		var positions []uint32
		for position, p := range waiting {
			if p.wanted[t] {
				positions = append(positions, uint32(position))
			}
		}
		if len(positions) == 0 {
			continue
		}
		message := each.message()
		if len(positions) < len(waiting) {
			message.Items = positions
		}
		request.Targets, asked = append(request.Targets, message), append(asked, t)
	}
	return request, asked
}

// record keeps the vectors and errors of an answer, and returns what is worth asking again.
func (b *batch) record(waiting []pending, asked []int, response *prismv1.VectorizeResponse) []pending {
	again := make([]pending, len(waiting))
	failed := make([][]bool, len(waiting)) // by position, by target
	for i, p := range waiting {
		again[i] = pending{p.object, p.item, make([]bool, len(b.targets))}
		failed[i] = make([]bool, len(b.targets))
	}
	for _, e := range response.Errors {
		position := slices.IndexFunc(asked, func(t int) bool { return b.targets[t].name == e.Target })
		if int(e.Index) >= len(waiting) || position < 0 {
			continue // what it was about stays without a vector, which assertComplete reports
		}
		t := asked[position]
		failed[e.Index][t] = true
		if slices.Contains(busy, codes.Code(e.Code)) {
			again[e.Index].wanted[t] = true
			continue
		}
		b.fail(waiting[e.Index].object, t, itemError(e, waiting[e.Index].item))
	}
	for position, t := range asked {
		for i, p := range waiting {
			if p.wanted[t] && !failed[i][t] {
				b.outcomes[t].vectors[p.object] = row(response.Blocks[position], i)
			}
		}
	}
	again = slices.DeleteFunc(again, func(p pending) bool { return !slices.Contains(p.wanted, true) })
	if len(again) < len(waiting) {
		b.lock.Lock()
		defer b.lock.Unlock()
		b.answered = time.Now()
	}
	return again
}

func (b *batch) failAll(waiting []pending, err error) {
	for _, p := range waiting {
		for t, wanted := range p.wanted {
			if wanted {
				b.fail(p.object, t, err)
			}
		}
	}
}

// fail names the object, since up to 1.39.0 Weaviate's BatchStream reports errors for the wrong positions, and the
// target vector, since Weaviate joins the errors of an object's vectors.
func (b *batch) fail(object, t int, err error) {
	if name := b.targets[t].name; name != "" {
		err = fmt.Errorf("%s: %w", name, err)
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	b.outcomes[t].errs[object] = fmt.Errorf("%s: %w", b.objects[object].ID, err)
}

func (b *batch) failed(object, t int) bool {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.outcomes[t].errs[object] != nil
}

// assertComplete turns what was not answered into errors: without vector and error, Weaviate would store the object
// as if it had nothing to vectorize.
func (b *batch) assertComplete(waiting []pending) {
	for _, p := range waiting {
		for t, wanted := range p.wanted {
			if wanted && b.outcomes[t].vectors[p.object] == nil && !b.failed(p.object, t) {
				b.fail(p.object, t, fmt.Errorf("prism: the answer has no vector for target %q", b.targets[t].name))
			}
		}
	}
}

// commonTenant is empty for objects of several tenants. At inserts Weaviate tells it with each object only.
func commonTenant(objects []*models.Object) string {
	tenant := objects[0].Tenant
	for _, object := range objects {
		if object.Tenant != tenant {
			return ""
		}
	}
	return tenant
}
