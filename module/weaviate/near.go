package prism

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/weaviate/weaviate/entities/modulecapabilities"
	"github.com/weaviate/weaviate/entities/moduletools"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearImage"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearText"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearVideo"
	libvectorizer "github.com/weaviate/weaviate/usecases/vectorizer"

	"prism.local/weaviate/prismv1"
)

// Arguments are the near* arguments of searches.
func (m *vectorizer) Arguments() map[string]modulecapabilities.GraphQLArgument { return m.arguments }

// VectorSearches make the query vectors of near* searches.
func (m *vectorizer) VectorSearches() map[string]modulecapabilities.VectorForParams[[]float32] {
	return m.searches
}

// VectorizeInput makes the query vector of a hybrid search.
func (m *vectorizer) VectorizeInput(ctx context.Context, input string, cfg moduletools.ClassConfig) ([]float32, error) {
	return m.Texts(ctx, []string{input}, cfg)
}

// Texts makes the query vector of nearText: the mean of its concepts, each of which is a query of its own. Weaviate's
// searcher calls it for moveTo and moveAwayFrom as well.
func (m *vectorizer) Texts(ctx context.Context, concepts []string, cfg moduletools.ClassConfig) ([]float32, error) {
	if len(concepts) == 0 {
		return nil, errors.New("no text to search for")
	}
	items := make([]*prismv1.Item, len(concepts))
	for i, concept := range concepts {
		items[i] = &prismv1.Item{Parts: []*prismv1.Part{textPart(concept)}}
	}
	vectors, err := m.query(ctx, items, cfg)
	if err != nil {
		return nil, err
	}
	return libvectorizer.CombineVectors(vectors), nil
}

// VectorizeImage makes the query vector of nearImage.
func (m *vectorizer) VectorizeImage(ctx context.Context, _, image string, cfg moduletools.ClassConfig) ([]float32, error) {
	return m.media(ctx, prismv1.Modality_MODALITY_IMAGE, image, cfg)
}

// VectorizeVideo makes the query vector of nearVideo.
func (m *vectorizer) VectorizeVideo(ctx context.Context, video string, cfg moduletools.ClassConfig) ([]float32, error) {
	return m.media(ctx, prismv1.Modality_MODALITY_VIDEO, video, cfg)
}

func (m *vectorizer) media(ctx context.Context, modality prismv1.Modality, value string, cfg moduletools.ClassConfig,
) ([]float32, error) {
	made, err := mediaPart(modality, value)
	if err != nil {
		return nil, fmt.Errorf("the query %w", err)
	}
	vectors, err := m.query(ctx, []*prismv1.Item{{Parts: []*prismv1.Part{made}}}, cfg)
	if err != nil {
		return nil, err
	}
	return vectors[0], nil
}

// query returns a vector per item, in the space of the target that cfg names.
func (m *vectorizer) query(ctx context.Context, items []*prismv1.Item, cfg moduletools.ClassConfig) ([][]float32, error) {
	message, collection := &prismv1.Target{}, ""
	if search, ok := cfg.(searchConfig); ok {
		collection = search.collection
	}
	if cfg.Class() != nil { // a search across collections has no target: the default model's space
		s, err := parseVectorizer(cfg.Class())
		if err != nil {
			return nil, fmt.Errorf("%s of target %q: %w", vectorizerName, cfg.TargetVector(), err)
		}
		// fields, weights and fusion say how an object's parts become one vector; a query has one part
		message = &prismv1.Target{
			Name: cfg.TargetVector(), Model: s.model, Dimensions: s.dimensions, Instruction: s.queryInstruction,
		}
	}
	request := &prismv1.VectorizeRequest{
		Task: prismv1.Task_TASK_QUERY, Collection: collection, Tenant: cfg.Tenant(),
		Targets: []*prismv1.Target{message}, Items: items,
	}
	response, err := m.client.vectorize(ctx, request)
	if err != nil {
		return nil, err
	}
	if len(response.Errors) > 0 {
		return nil, reported(response.Errors[0])
	}
	if err := checkBlocks(request, response); err != nil {
		return nil, err
	}
	vectors := make([][]float32, len(items))
	for i := range items {
		if vectors[i] = row(response.Blocks[0], i); vectors[i] == nil {
			return nil, errors.New("prism: the answer has no vector for the query")
		}
	}
	return vectors, nil
}

// near returns Weaviate's own near* arguments and searches for what this module reads.
func (m *vectorizer) near(transform modulecapabilities.TextTransform) (
	arguments map[string]modulecapabilities.GraphQLArgument, searches map[string]modulecapabilities.VectorForParams[[]float32],
) {
	arguments = nearText.New(transform).Arguments()
	maps.Copy(arguments, nearImage.New().Arguments())
	maps.Copy(arguments, nearVideo.New().Arguments())
	searches = nearText.NewSearcher[[]float32](m).VectorSearches()
	maps.Copy(searches, nearImage.NewSearcher[[]float32](m).VectorSearches())
	maps.Copy(searches, nearVideo.NewSearcher[[]float32](m).VectorSearches())
	for name, search := range searches {
		searches[name] = inCollection(search)
	}
	return arguments, searches
}

// inCollection adds to a search what Weaviate's searchers do not pass on, and notes the tenant for the reranker.
func inCollection(search modulecapabilities.VectorForParams[[]float32]) modulecapabilities.VectorForParams[[]float32] {
	return func(ctx context.Context, params any, collection string, find modulecapabilities.FindVectorFn[[]float32],
		cfg moduletools.ClassConfig,
	) ([]float32, error) {
		cfg = searchConfig{cfg, collection}
		rememberTenant(params, cfg.Tenant())
		return search(ctx, params, collection, find, cfg)
	}
}

// searchConfig knows its collection; empty in a search across collections (GraphQL Explore), whose config may be nil,
// or panics when it is asked for its class.
type searchConfig struct {
	moduletools.ClassConfig
	collection string
}

func (c searchConfig) Class() map[string]any {
	if c.collection == "" {
		return nil
	}
	return c.ClassConfig.Class()
}

func (c searchConfig) Tenant() string {
	if c.collection == "" {
		return ""
	}
	return c.ClassConfig.Tenant()
}

func (c searchConfig) TargetVector() string {
	if c.collection == "" {
		return ""
	}
	return c.ClassConfig.TargetVector()
}

// textTransform is what another module does to the texts of nearText; nil if none does.
func textTransform(modules []modulecapabilities.Module) modulecapabilities.TextTransform {
	for _, module := range modules {
		if transformers, ok := module.(modulecapabilities.TextTransformers); ok {
			if transform := transformers.TextTransformers()[nearText.Name]; transform != nil {
				return transform
			}
		}
	}
	return nil
}
