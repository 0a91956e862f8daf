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

// limit is a time, and the variable that sets it.
type limit struct {
	time     time.Duration
	variable string
}

// over tells the time that has passed, and where it ended by this limit rather than by Weaviate's, how to change it.
func (l limit) over(elapsed time.Duration) string {
	if elapsed < l.time*9/10 {
		return elapsed.Round(100 * time.Millisecond).String()
	}
	return fmt.Sprintf("%s (%s)", l.time, l.variable)
}

// limits of a call: how long it may take, and until when, from its start, it is sent again after which answers.
type limits struct {
	timeout limit
	retries limit
	retried []codes.Code
}

// withRetries calls a method until it is answered for good. It repeats also what finds nobody there, instead of gRPC
// itself: gRPC's retries end after 5 attempts, about 3 s, while a model takes longer to load, and its waitForReady
// waits without a word in the log.
func withRetries[Request, Response any](ctx context.Context, c *client, name string, limits limits,
	invoke method[Request, Response], request *Request,
) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.timeout.time)
	defer cancel()
	again, stop := context.WithTimeout(ctx, limits.retries.time)
	defer stop()
	start, pause := time.Now(), backOff()
	var earlier error
	for {
		response, err := invoke(ctx, request)
		if err == nil {
			c.outage.end(c.address)
			observe(name, codes.OK, time.Since(start))
			return response, nil
		}
		if slices.Contains(limits.retried, status.Code(err)) && !tooLarge(err) {
			if status.Code(err) == codes.Unavailable {
				c.outage.begin(c.address, err)
			}
			if earlier = err; pause(again) {
				continue
			}
			err = ended(again, c.address, limits.retries.over(time.Since(start)), earlier)
		} else {
			err = unanswered(err, limits.timeout.over(time.Since(start)), earlier)
		}
		observe(name, codeOf(err), time.Since(start))
		return nil, err
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
