package prism

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// awaitReady returns once all models are loaded and our key is accepted. It logs a warning every few seconds.
func (c *client) awaitReady(ctx context.Context, log logrus.FieldLogger) error {
	start, warned := time.Now(), time.Time{}
	var problem error
	for {
		err := c.serving(ctx, "")
		if err == nil {
			return c.admitted(ctx)
		}
		if wrong := c.misconfigured(err); wrong != nil {
			return wrong
		}
		if problem == nil || ctx.Err() == nil { // the end of ctx itself tells nothing
			problem = err
		}
		waited := time.Since(start).Round(100 * time.Millisecond)
		if time.Since(warned) >= warningInterval {
			warned = time.Now()
			log.WithField("action", "prism_startup").Warnf("waiting for Prism at %s, %s so far: %v", c.address, waited, problem)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no Prism at %s=%s after %s: %w; start it, or set %s=false to start Weaviate without it",
				variableAddress, c.address, waited, problem, variableWait)
		case <-time.After(startupInterval):
		}
	}
}

// misconfigured recognises by gRPC's words what no waiting will mend.
func (c *client) misconfigured(err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "looked like an HTTP/1.1 header"):
		return fmt.Errorf("%s=%s answers in HTTP/1.1: it wants Prism's gRPC port (8091 by default)", variableAddress, c.address)
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return fmt.Errorf("TLS is on (%s*), but the Prism at %s speaks none (--tls-cert)", variableTLS, c.address)
	}
	return nil
}

// requireService fails unless the service, which awaitReady found ready, serves `service`.
func (c *client) requireService(ctx context.Context, service, flag string) error {
	if !c.wait {
		return nil
	}
	if err := c.serving(ctx, service); err != nil {
		return fmt.Errorf("the Prism at %s does not serve %s: %w; was it started with %s none?", c.address, service, err, flag)
	}
	return nil
}

// serving asks once. The empty service stands for all of them.
func (c *client) serving(ctx context.Context, service string) error {
	ctx, cancel := context.WithTimeout(ctx, metaTimeout)
	defer cancel()
	answer, err := c.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		return failure(err)
	}
	if answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("its health is %s", answer.Status)
	}
	return nil
}

// admitted finds a wrong key at the start; health checks need none.
func (c *client) admitted(ctx context.Context) error {
	if _, err := c.info(ctx); status.Code(err) == codes.Unauthenticated {
		return fmt.Errorf("the Prism at %s refuses %s: %w", c.address, variableAPIKey, failure(err))
	}
	return nil
}
