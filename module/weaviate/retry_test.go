package prism

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"prism.local/weaviate/prismv1"
)

// answering fails with err until some time has passed.
func answering(err error, until time.Duration, calls *int) method[prismv1.VectorizeRequest, prismv1.VectorizeResponse] {
	start := time.Now()
	return func(ctx context.Context, _ *prismv1.VectorizeRequest, _ ...grpc.CallOption) (*prismv1.VectorizeResponse, error) {
		*calls++
		if time.Since(start) < until {
			return nil, err
		}
		return &prismv1.VectorizeResponse{}, ctx.Err()
	}
}

func TestACallOutlivesLoadingModelsAndAFullQueue(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.ResourceExhausted} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			invoke := answering(status.Error(code, "not now"), 30*time.Second, &calls)
			_, err := withRetries(t.Context(), "test", limits{50 * time.Second, 50 * time.Second, busy}, invoke, document)
			if err != nil || calls < 10 || calls > 60 {
				t.Errorf("%s: %d calls, %v", code, calls, err)
			}
		})
	}
}

func TestTheDeadlineEndsRetriesAndTellsTheReason(t *testing.T) {
	for _, test := range []struct{ timeout, retries time.Duration }{{8 * time.Second, time.Hour}, {time.Hour, 8 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			calls, start := 0, time.Now()
			invoke := answering(status.Error(codes.Unavailable, "models are loading"), time.Hour, &calls)
			_, err := withRetries(t.Context(), "test", limits{test.timeout, test.retries, unavailable}, invoke, document)
			if err == nil || !strings.Contains(err.Error(), "DeadlineExceeded") || !strings.Contains(err.Error(), "models are loading") {
				t.Error(err)
			}
			if took := time.Since(start); took != 8*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestOtherErrorsAreFinal(t *testing.T) {
	for _, err := range []error{
		status.Error(codes.InvalidArgument, "no items"),
		status.Error(codes.ResourceExhausted, "trying to send message larger than max (3 vs. 2)"),
		status.Error(codes.ResourceExhausted, "CLIENT: Received message larger than max (3 vs. 2)"),
	} {
		calls := 0
		_, got := withRetries(t.Context(), "test", limits{time.Minute, time.Minute, busy}, answering(err, time.Hour, &calls), document)
		if got == nil || calls != 1 {
			t.Errorf("%v: %d calls, %v", err, calls, got)
		}
	}
}

func TestAQueryDoesNotWaitForRoomInTheQueue(t *testing.T) {
	fake := &fakeService{before: func(context.Context, *prismv1.VectorizeRequest) error {
		return status.Error(codes.ResourceExhausted, "the queue is full")
	}}
	c := fake.served(t)
	_, err := c.vectorize(t.Context(), &prismv1.VectorizeRequest{Task: prismv1.Task_TASK_QUERY})
	if err == nil || len(fake.asked()) != 1 {
		t.Errorf("%d calls, %v", len(fake.asked()), err)
	}
}

func TestAnAnswerMayTakeLongerThanRetriesMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, _ *prismv1.VectorizeRequest, _ ...grpc.CallOption) (*prismv1.VectorizeResponse, error) {
			time.Sleep(30 * time.Second)
			return &prismv1.VectorizeResponse{}, ctx.Err()
		}
		if _, err := withRetries(t.Context(), "test", limits{50 * time.Second, time.Second, unavailable}, slow, document); err != nil {
			t.Error(err)
		}
	})
}
