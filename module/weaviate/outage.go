package prism

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const outageInterval = 10 * time.Second // of warnings

// How gRPC words what came of a connection, down to what the operating system said of it.
var connectionError = regexp.MustCompile(
	`connection error: desc = "(?:transport: )?(?:Error while dialing: )?(?:dial \S+ .*?: (?:connect: )?)?(.*)"`)

// trouble puts into words why calls get nowhere: nobody is there, or somebody takes none just now.
func trouble(address string, err error) (what, cause string) {
	cause = status.Convert(err).Message()
	if found := connectionError.FindStringSubmatch(cause); found != nil {
		return fmt.Sprintf("no Prism at %s=%s", variableAddress, address), found[1]
	}
	if strings.HasPrefix(cause, "name resolver error") || strings.HasPrefix(cause, "dns: ") {
		return fmt.Sprintf("no Prism at %s=%s", variableAddress, address), cause
	}
	return fmt.Sprintf("the Prism at %s=%s takes no calls", variableAddress, address), cause
}

// ended is the error of a call that was refused each time until ctx ended; `wait` is for how long.
func ended(ctx context.Context, address, wait string, last error) error {
	what, cause := trouble(address, last)
	return &callError{status.FromContextError(ctx.Err()).Code(), fmt.Sprintf("%s for %s: %s", what, wait, cause)}
}

// unanswered is the error of a call that is not repeated: the service's own, or that it took too long.
func unanswered(err error, wait string, earlier error) error {
	failed := failure(err)
	if status.Code(err) == codes.DeadlineExceeded {
		failed = &callError{codes.DeadlineExceeded, fmt.Sprintf("Prism did not answer within %s", wait)}
	}
	if earlier == nil {
		return failed
	}
	return fmt.Errorf("%w (before: %s)", failed, status.Convert(earlier).Message())
}

func codeOf(err error) codes.Code {
	var failed *callError
	if errors.As(err, &failed) {
		return failed.code
	}
	return codes.Unknown
}

// outage tells the log that calls wait for the service, not once per call but once per time that they have to, and
// every few seconds while they do.
type outage struct {
	log    logrus.FieldLogger
	lock   sync.Mutex
	since  time.Time // zero while calls are answered
	warned time.Time
}

func (o *outage) begin(address string, err error) {
	o.lock.Lock()
	defer o.lock.Unlock()
	now := time.Now()
	if o.since.IsZero() {
		o.since = now
	} else if now.Sub(o.warned) < outageInterval {
		return
	}
	o.warned = now
	what, cause := trouble(address, err)
	o.log.WithField("action", "prism_outage").Warnf("%s: %s; calls wait for it, %s so far", what, cause, o.lasted())
}

func (o *outage) end(address string) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if o.since.IsZero() {
		return
	}
	o.log.WithField("action", "prism_outage").Infof("the Prism at %s answers calls again, after %s", address, o.lasted())
	o.since = time.Time{}
}

func (o *outage) lasted() time.Duration { return time.Since(o.since).Round(100 * time.Millisecond) }
