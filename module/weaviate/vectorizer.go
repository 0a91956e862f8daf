package prism

import (
	"context"
	"fmt"
	"slices"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/modulecapabilities"
	"github.com/weaviate/weaviate/entities/moduletools"
	"github.com/weaviate/weaviate/entities/schema"
)

const vectorizerName = "multi2vec-prism"

var (
	_ modulecapabilities.Vectorizer[[]float32]      = (*vectorizer)(nil)
	_ modulecapabilities.InputVectorizer[[]float32] = (*vectorizer)(nil)
	_ modulecapabilities.GraphQLArguments           = (*vectorizer)(nil)
	_ modulecapabilities.Searcher[[]float32]        = (*vectorizer)(nil)
	_ modulecapabilities.ClassConfigurator          = (*vectorizer)(nil)
	_ modulecapabilities.MetaProvider               = (*vectorizer)(nil)
	_ modulecapabilities.ModuleExtension            = (*vectorizer)(nil)
	_ modulecapabilities.ModuleWithClose            = (*vectorizer)(nil)
)

// vectorizer is the module multi2vec-prism: vectors of texts, pictures and clips, for objects and queries.
type vectorizer struct {
	client    *client
	sharing   sharing
	arguments map[string]modulecapabilities.GraphQLArgument
	searches  map[string]modulecapabilities.VectorForParams[[]float32]
}

func newVectorizer() modulecapabilities.Module { return &vectorizer{} }

// Name is what ENABLE_MODULES and a collection's config call the module.
func (m *vectorizer) Name() string { return vectorizerName }

// Type tells Weaviate that the module reads more than text.
func (m *vectorizer) Type() modulecapabilities.ModuleType { return modulecapabilities.Multi2Vec }

// Init connects to the service.
func (m *vectorizer) Init(ctx context.Context, params moduletools.ModuleInitParams) (err error) {
	if m.client, err = connect(ctx, params.GetLogger()); err != nil {
		return err
	}
	return m.client.requireService(ctx, vectorizerService, "--embedder")
}

// InitExtension sets the near* arguments up: nearText needs what other modules do to texts, such as spelling checks.
func (m *vectorizer) InitExtension(modules []modulecapabilities.Module) error {
	m.arguments, m.searches = m.near(textTransform(modules))
	return nil
}

// Close ends the connection to the service.
func (m *vectorizer) Close() error { return m.client.close() }

// MetaInfo is the module's entry in /v1/meta.
func (m *vectorizer) MetaInfo() (map[string]any, error) { return m.client.meta() }

// ClassConfigDefaults stores the name of the service's default model with the collection: should the service start
// with another one later, it is refused by name instead of filling the index with vectors of two models. The name is
// empty, for whatever is the default, where the service has never told it; a config may say so as well. Weaviate
// adds defaults also to updates, so the key must always be there, or an update would differ from what is stored.
func (m *vectorizer) ClassConfigDefaults() map[string]any {
	return map[string]any{"model": m.client.embedder(context.Background())}
}

// PropertyConfigDefaults is empty: properties have no settings of their own.
func (m *vectorizer) PropertyConfigDefaults(*schema.DataType) map[string]any { return map[string]any{} }

// ValidateClass checks one vector's config when a collection is created or restored.
func (m *vectorizer) ValidateClass(_ context.Context, class *models.Class, cfg moduletools.ClassConfig) error {
	_, err := vectorSettings(class, cfg.Class())
	return err
}

// VectorizableProperties lists text fields as well. Weaviate then compares just these to see whether an object must be
// vectorized again, instead of all texts.
func (m *vectorizer) VectorizableProperties(cfg moduletools.ClassConfig) (bool, []string, error) {
	s, err := parseVectorizer(cfg.Class())
	return false, s.names(), err
}

// VectorizeObject computes one vector of one object.
func (m *vectorizer) VectorizeObject(ctx context.Context, object *models.Object, cfg moduletools.ClassConfig,
) ([]float32, models.AdditionalProperties, error) {
	// An update asks only for the vectors whose fields have changed; it has no times yet (PATCH) or two (PUT).
	inserted := object.CreationTimeUnix != 0 && object.CreationTimeUnix == object.LastUpdateTimeUnix
	result := m.vectorize(ctx, []*models.Object{object}, []bool{false}, cfg, inserted)
	return result.vectors[0], nil, result.errs[0]
}

// VectorizeBatch computes one vector per object. Rows of objects that are skipped, or have none of the fields, are nil.
func (m *vectorizer) VectorizeBatch(ctx context.Context, objects []*models.Object, skip []bool, cfg moduletools.ClassConfig,
) ([][]float32, []models.AdditionalProperties, map[int]error) {
	result := m.vectorize(ctx, objects, skip, cfg, true)
	return result.vectors, nil, result.errs
}

func (m *vectorizer) vectorize(ctx context.Context, objects []*models.Object, skip []bool, cfg moduletools.ClassConfig,
	share bool,
) outcome {
	if !slices.Contains(skip, false) {
		return outcome{make([][]float32, len(objects)), map[int]error{}}
	}
	class := host.Class(objects[0].Class)
	s, err := vectorSettings(class, cfg.Class())
	if err != nil {
		return failed(objects, skip, fmt.Errorf("%s of target %q: %w", vectorizerName, cfg.TargetVector(), err))
	}
	own := target{cfg.TargetVector(), s}
	result, err := m.compute(ctx, objects, skip, class, own, share)
	if err != nil {
		return failed(objects, skip, err)
	}
	for i, object := range objects {
		if !skip[i] && result.vectors[i] == nil && result.errs[i] == nil {
			objectsWithoutFields.WithLabelValues(object.Class, own.name).Inc()
		}
	}
	return result
}

// compute returns the outcome of one target, computed with the collection's others where `share` is set.
func (m *vectorizer) compute(ctx context.Context, objects []*models.Object, skip []bool, class *models.Class, own target,
	share bool,
) (outcome, error) {
	compute := func(ctx context.Context, targets []target) map[string]outcome {
		b := batch{client: m.client, objects: objects, targets: targets}
		return b.run(ctx, skip)
	}
	all := []target{own}
	if share {
		all = sharedTargets(class, own)
	}
	if len(all) == 1 {
		return compute(ctx, all)[own.name], nil
	}
	return m.sharing.vectors(ctx, objects, skip, own, all, compute)
}

func failed(objects []*models.Object, skip []bool, err error) outcome {
	result := outcome{make([][]float32, len(objects)), map[int]error{}}
	for i, object := range objects {
		if !skip[i] {
			result.errs[i] = fmt.Errorf("%s: %w", object.ID, err)
		}
	}
	return result
}

// vectorSettings checks a config against the collection. Weaviate calls no module when a schema is changed, so this
// is done at each use, too. The class is nil for one that Weaviate is about to drop.
func vectorSettings(class *models.Class, config map[string]any) (settings, error) {
	s, err := parseVectorizer(config)
	if err != nil || class == nil {
		return s, err
	}
	if err := s.validate(class); err != nil {
		return s, err
	}
	return s, s.validateSkips(class)
}
