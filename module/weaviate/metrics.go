package prism

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc/codes"
)

// In the default registry, which Weaviate's own /metrics serves.
var (
	callSeconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "prism_module_call_seconds",
		Help:    "Time of calls to Prism, retries included, by kind of call and gRPC code.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12), // 1 ms to 24 s
	}, []string{"call", "code"})

	objectsWithoutFields = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "prism_module_objects_without_fields_total",
		Help: "Objects stored without a vector since they have none of the target's fields.",
	}, []string{"collection", "target"})

	resultsWithoutFields = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "prism_module_results_without_fields_total",
		Help: "Search results ranked last since they have none of the ranked fields, or none that could be read.",
	}, []string{"collection"})
)

func observe(name string, code codes.Code, elapsed time.Duration) {
	callSeconds.WithLabelValues(name, code.String()).Observe(elapsed.Seconds())
}
