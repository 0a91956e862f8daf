package prism

import (
	"fmt"

	"github.com/tailor-platform/graphql"
	"github.com/tailor-platform/graphql/language/ast"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/usecases/modulecomponents/additional/rank"
)

// rerankArguments are what a search asks of the reranker.
type rerankArguments struct {
	query, image, video, property string
	properties                    []string

	// load names the properties that Weaviate shall read for the reranker beside the ones it returns.
	load []string
	// loaded: Weaviate has read them, so that a property which is absent from a result is null.
	loaded bool
	// err is why the arguments cannot be used. Weaviate's hook for GraphQL arguments cannot fail; the search does later.
	err error
}

// GetPropertiesToExtract tells Weaviate's GraphQL API what to read of every result. None of it is returned.
func (a *rerankArguments) GetPropertiesToExtract() []string { return a.load }

// rerankField is `rerank` in the `_additional` of a collection.
func rerankField(class string) *graphql.Field {
	text := func(description string) *graphql.ArgumentConfig {
		return &graphql.ArgumentConfig{Type: graphql.String, Description: description}
	}
	return &graphql.Field{
		Args: graphql.FieldConfigArgument{
			"query":    text("What to rank by: text, or a picture or clip as a data: URI. Without it, what the search looks for"),
			"image":    text("A picture to rank by, in base64; with query and video it forms one query"),
			"video":    text("A clip to rank by, in base64; with query and image it forms one query"),
			"property": text("The property to rank, where neither properties nor the collection's settings name any"),
			"properties": &graphql.ArgumentConfig{
				Type:        graphql.NewList(graphql.String),
				Description: "The properties to rank together; some of those in the collection's settings, if they name any",
			},
		},
		Type: graphql.NewList(graphql.NewObject(graphql.ObjectConfig{
			Name:   class + "AdditionalReranker",
			Fields: graphql.Fields{"score": &graphql.Field{Type: graphql.Float}},
		})),
	}
}

// graphQLArguments reads the arguments of a GraphQL search, any of which may be left out.
func graphQLArguments(list []*ast.Argument, class *models.Class) any {
	a := &rerankArguments{loaded: true}
	for _, argument := range list {
		if err := a.set(argument.Name.Value, argument.Value); err != nil {
			a.err = fmt.Errorf("argument %q: %w", argument.Name.Value, err)
			return a
		}
	}
	s, err := rerankSettings(class, a)
	a.load, a.err = s.names(), err
	return a
}

func (a *rerankArguments) set(name string, value ast.Value) (err error) {
	switch name {
	case "query":
		a.query, err = stringValue(value)
	case "image":
		a.image, err = stringValue(value)
	case "video":
		a.video, err = stringValue(value)
	case "property":
		a.property, err = stringValue(value)
	case "properties":
		a.properties, err = stringValues(value)
	default:
		err = fmt.Errorf("is not known; there are query, image, video, property and properties")
	}
	return err
}

// stringValue refuses variables: Weaviate hands the parsed query to modules, but not the values of its variables.
func stringValue(value ast.Value) (string, error) {
	switch v := value.(type) {
	case *ast.StringValue:
		return v.Value, nil
	case *ast.Variable:
		return "", fmt.Errorf("the variable $%s does not reach modules: write its value into the query", v.Name.Value)
	default:
		return "", fmt.Errorf("must be a string, not %s", value.GetKind())
	}
}

// stringValues reads a list of strings; GraphQL lets a single string stand for a list of one.
func stringValues(value ast.Value) ([]string, error) {
	list, ok := value.(*ast.ListValue)
	if !ok {
		list = &ast.ListValue{Values: []ast.Value{value}}
	}
	values := make([]string, len(list.Values))
	for i, each := range list.Values {
		var err error
		if values[i], err = stringValue(each); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// rerankArgumentsOf takes what graphQLArguments returned, or what Weaviate's gRPC API builds itself.
func rerankArgumentsOf(params any) (*rerankArguments, error) {
	switch p := params.(type) {
	case *rerankArguments:
		return p, p.err
	case *rank.Params:
		return &rerankArguments{query: p.GetQuery(), property: p.GetProperty()}, nil
	default:
		return nil, fmt.Errorf("arguments of an unknown type %T", params)
	}
}
