package prism

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	unavailable = []codes.Code{codes.Unavailable}                          // restarts, or loads its models
	busy        = []codes.Code{codes.Unavailable, codes.ResourceExhausted} // or its queue is full
)

type method[Request, Response any] func(context.Context, *Request, ...grpc.CallOption) (*Response, error)

// limits of a call: how long it may take, and until when, from its start, it is sent again after which answers.
type limits struct {
	timeout time.Duration
	retries time.Duration
	retried []codes.Code
}

// withRetries calls a method until it is answered for good.
func withRetries[Request, Response any](ctx context.Context, name string, limits limits,
	invoke method[Request, Response], request *Request,
) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.timeout)
	defer cancel()
	again, stop := context.WithTimeout(ctx, limits.retries)
	defer stop()
	start, pause, earlier := time.Now(), backOff(), ""
	for {
		response, err := invoke(ctx, request)
		if err == nil {
			observe(name, codes.OK, time.Since(start))
			return response, nil
		}
		if slices.Contains(limits.retried, status.Code(err)) && !tooLarge(err) {
			earlier = fmt.Sprintf(" (before: %s)", status.Convert(err).Message())
			if pause(again) {
				continue
			}
			err = status.FromContextError(again.Err()).Err()
		}
		observe(name, status.Code(err), time.Since(start))
		return nil, fmt.Errorf("%w%s", failure(err), earlier)
	}
}

// tooLarge tells a message over a limit, of gRPC in Go or in C, from a full queue: both are RESOURCE_EXHAUSTED.
func tooLarge(err error) bool {
	return strings.Contains(status.Convert(err).Message(), "larger than max")
}

// backOff returns a function that waits longer each time, and is false when ctx ends before.
func backOff() func(context.Context) bool {
	delay := firstRetryDelay
	return func(ctx context.Context) bool {
		timer := time.NewTimer(delay/2 + rand.N(delay))
		defer timer.Stop()
		delay = min(2*delay, maxRetryDelay)
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}
