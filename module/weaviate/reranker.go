package prism

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/modulecapabilities"
	"github.com/weaviate/weaviate/entities/moduletools"
	"github.com/weaviate/weaviate/entities/schema"
	"github.com/weaviate/weaviate/entities/search"
	additional "github.com/weaviate/weaviate/usecases/modulecomponents/additional/models"

	"prism.local/weaviate/prismv1"
)

const (
	rerankerName   = "reranker-prism"
	rerankProperty = "rerank"         // what Weaviate's gRPC API and clients call it
	lowestScore    = -math.MaxFloat32 // of a document that cannot be scored
)

var (
	_ modulecapabilities.AdditionalProperties = (*reranker)(nil)
	_ modulecapabilities.ClassConfigurator    = (*reranker)(nil)
	_ modulecapabilities.MetaProvider         = (*reranker)(nil)
	_ modulecapabilities.ModuleWithClose      = (*reranker)(nil)
)

// reranker is the module reranker-prism: it orders search results anew, by the scores of a cross-encoder.
type reranker struct {
	client *client
	kept   *keptMedia
}

func newReranker() modulecapabilities.Module { return &reranker{kept: newKeptMedia()} }

// Name is what ENABLE_MODULES and a collection's moduleConfig call the module.
func (m *reranker) Name() string { return rerankerName }

// Type tells Weaviate that `rerank` belongs to this module. It knows no type for more than text.
func (m *reranker) Type() modulecapabilities.ModuleType { return modulecapabilities.Text2TextReranker }

// Init connects to the service.
func (m *reranker) Init(ctx context.Context, params moduletools.ModuleInitParams) (err error) {
	if m.client, err = connect(ctx, params.GetLogger()); err != nil {
		return err
	}
	return m.client.requireService(ctx, rerankerService, "--reranker")
}

// Close ends the connection when Weaviate stops.
func (m *reranker) Close() error { return m.client.close() }

// MetaInfo is the module's entry in /v1/meta.
func (m *reranker) MetaInfo() (map[string]any, error) { return m.client.meta() }

// ClassConfigDefaults is empty: what is absent is the service's choice.
func (m *reranker) ClassConfigDefaults() map[string]any { return map[string]any{} }

// PropertyConfigDefaults is empty: properties have no settings of their own.
func (m *reranker) PropertyConfigDefaults(*schema.DataType) map[string]any { return map[string]any{} }

// ValidateClass checks the module's config when a collection is created or restored.
func (m *reranker) ValidateClass(_ context.Context, class *models.Class, _ moduletools.ClassConfig) error {
	_, err := configuredReranker(class)
	return err
}

// AdditionalProperties adds `rerank` to searches.
func (m *reranker) AdditionalProperties() map[string]modulecapabilities.AdditionalProperty {
	return map[string]modulecapabilities.AdditionalProperty{rerankProperty: {
		GraphQLNames:           []string{rerankProperty},
		GraphQLFieldFunction:   rerankField,
		GraphQLExtractFunction: graphQLArguments,
		SearchFunctions:        modulecapabilities.AdditionalSearch{ExploreGet: m.rerank, ExploreList: m.rerank},
	}}
}

// rerank scores and sorts the results of one search. The collection is looked up by its name, since what Weaviate
// passes as config has none in searches across collections.
func (m *reranker) rerank(
	ctx context.Context, results []search.Result, params any, _ *int, near map[string]any, _ moduletools.ClassConfig,
) ([]search.Result, error) {
	if len(results) == 0 {
		return results, nil
	}
	arguments, err := rerankArgumentsOf(params)
	if err != nil {
		return nil, err
	}
	class := host.Class(results[0].ClassName)
	s, err := rerankSettings(class, arguments)
	if err != nil {
		return nil, err
	}
	query, err := rerankQuery(arguments, near)
	if err != nil {
		return nil, err
	}
	tenant := searchedTenant(results, near)
	properties := loadedProperties(results)
	if !arguments.loaded {
		if err := completeProperties(ctx, class, results, properties, s.fields, tenant); err != nil {
			return nil, err
		}
	}
	request := func(documents []*prismv1.Item) *prismv1.RerankRequest {
		return &prismv1.RerankRequest{
			Collection: class.Class, Tenant: tenant, Model: s.model, Instruction: s.instruction,
			Query: query, Documents: documents,
		}
	}
	scores, err := m.scores(ctx, candidates{s, results, properties}, request)
	if err != nil {
		return nil, err
	}
	return sorted(results, scores), nil
}

// scores asks in several calls at a time, where one would be large; the first that fails cancels the others. A result
// with none of the fields is not sent, since the score of an empty text means nothing: it gets that of a failed document.
func (m *reranker) scores(ctx context.Context, found candidates, request func([]*prismv1.Item) *prismv1.RerankRequest,
) ([]float64, error) {
	scores := make([]float64, len(found.results))
	var positions, sizes []int
	for i := range found.results {
		size, some := measure(found.fields, found.properties[i])
		if !some {
			scores[i] = lowestScore
			continue
		}
		positions, sizes = append(positions, i), append(sizes, size)
	}
	resultsWithoutFields.WithLabelValues(found.results[0].ClassName).Add(float64(len(scores) - len(positions)))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(chunkCalls)
	for _, chunk := range chunks(sizes, chunkBytes, m.client.itemsPerCall(1)) {
		group.Go(func() error {
			return m.ask(ctx, found, positions[chunk[0]:chunk[1]], request, scores, false)
		})
	}
	return scores, group.Wait()
}

// ask fills in the scores of the candidates at these positions. Those whose media the service was thought to keep, and
// does not, are asked about once more, with `whole` media.
func (m *reranker) ask(ctx context.Context, found candidates, positions []int,
	request func([]*prismv1.Item) *prismv1.RerankRequest, scores []float64, whole bool,
) error {
	sending := m.kept.sending(found.model, whole)
	documents, err := found.documents(positions, sending.part)
	if err != nil {
		return err
	}
	response, err := m.client.rerank(ctx, request(documents))
	if err != nil {
		return err
	}
	lacking := sending.answered(documents, response)
	if err := documentError(documents, response.Errors, lacking); err != nil {
		return err
	}
	if len(response.Scores) != len(documents) {
		return fmt.Errorf("the service answered with %d scores for %d documents", len(response.Scores), len(documents))
	}
	for i, score := range response.Scores {
		scores[positions[i]] = float64(score)
	}
	if len(lacking) == 0 {
		return nil
	}
	again := make([]int, len(lacking))
	for i, position := range lacking {
		again[i] = positions[position]
	}
	return m.ask(ctx, found, again, request, scores, true)
}

// documentError fails the search: a score that is missing cannot be told from a low one. A service that runs with
// --rerank-bad-document=last scores such documents lowest instead, and reports no errors. Of those that are to be sent
// again, it is not the last word.
func documentError(items []*prismv1.Item, errors []*prismv1.ItemError, again []int) error {
	found := slices.DeleteFunc(slices.Clone(errors), func(each *prismv1.ItemError) bool {
		return slices.Contains(again, int(each.GetIndex()))
	})
	if len(found) == 0 {
		return nil
	}
	index := int(found[0].GetIndex())
	if index >= len(items) {
		return fmt.Errorf("the service answered with an error for document %d of %d", index, len(items))
	}
	return fmt.Errorf("object %s (one of %d that cannot be scored): %s: %s",
		items[index].GetId(), len(found), codes.Code(found[0].GetCode()), found[0].GetMessage())
}

// sorted puts the highest score first, keeps the order of equal scores, and puts NaN last.
func sorted(results []search.Result, scores []float64) []search.Result {
	order := make([]int, len(results))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	ranked := make([]search.Result, len(results))
	for i, position := range order {
		ranked[i] = results[position]
		if ranked[i].AdditionalProperties == nil {
			ranked[i].AdditionalProperties = models.AdditionalProperties{}
		}
		ranked[i].AdditionalProperties[rerankProperty] = []*additional.RankResult{{Score: &scores[position]}}
	}
	return ranked
}
