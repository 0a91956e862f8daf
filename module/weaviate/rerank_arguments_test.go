package prism

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tailor-platform/graphql/language/ast"
	"github.com/tailor-platform/graphql/language/parser"

	"github.com/weaviate/weaviate/usecases/modulecomponents/additional/rank"
)

// parsedArguments are those of `rerank(...)` as Weaviate's own GraphQL parser reads them.
func parsedArguments(t *testing.T, arguments string) []*ast.Argument {
	t.Helper()
	text := `query($text: String) { rerank` + arguments + ` { score } }`
	document, err := parser.Parse(parser.ParseParams{Source: text})
	if err != nil {
		t.Fatal(err)
	}
	return document.Definitions[0].(*ast.OperationDefinition).SelectionSet.Selections[0].(*ast.Field).Arguments
}

func TestGraphQLArgumentsAreRead(t *testing.T) {
	list := parsedArguments(t, `(query: "a ship", image: "aW1n", video: "dmlk", property: "title", properties: ["still", "title"])`)
	a := graphQLArguments(list, filmClass(nil)).(*rerankArguments)
	if a.err != nil {
		t.Fatal(a.err)
	}
	want := rerankArguments{
		query: "a ship", image: "aW1n", video: "dmlk", property: "title", properties: []string{"still", "title"},
		load: []string{"still", "title"}, loaded: true,
	}
	if !reflect.DeepEqual(*a, want) {
		t.Errorf("got %+v, want %+v", *a, want)
	}
}

func TestGraphQLLoadsWhatWillBeRanked(t *testing.T) {
	configured := map[string]any{"textFields": []any{"title"}, "imageFields": []any{"still"}}
	for name, test := range map[string]struct {
		config    map[string]any
		arguments string
		load      []string
	}{
		"the configured fields":                 {configured, ``, []string{"title", "still"}},
		"the configured fields before property": {configured, `(property: "title")`, []string{"title", "still"}},
		"properties before configured fields":   {configured, `(properties: ["still"])`, []string{"still"}},
		"a single string for a list":            {configured, `(properties: "still")`, []string{"still"}},
		"properties without configured fields":  {nil, `(properties: ["still", "plot"])`, []string{"still", "plot"}},
		"property without configured fields":    {nil, `(property: "plot")`, []string{"plot"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := graphQLArguments(parsedArguments(t, test.arguments), filmClass(test.config)).(*rerankArguments)
			if a.err != nil {
				t.Fatal(a.err)
			}
			if got := a.GetPropertiesToExtract(); !reflect.DeepEqual(got, test.load) {
				t.Errorf("got %q, want %q", got, test.load)
			}
		})
	}
}

func TestUnusableGraphQLArgumentsAreErrorsThatNameThem(t *testing.T) {
	for arguments, want := range map[string]string{
		`(query: $text)`:                 `argument "query": the variable $text does not reach modules: write its value into the query`,
		`(properties: ["title", $text])`: `argument "properties": the variable $text does not reach modules: write its value into the query`,
		`(properties: $text)`:            `argument "properties": the variable $text does not reach modules: write its value into the query`,
		`(image: 3)`:                     `argument "image": must be a string, not IntValue`,
		`(video: true)`:                  `argument "video": must be a string, not BooleanValue`,
		`(property: title)`:              `argument "property": must be a string, not EnumValue`,
		`(property: ["title"])`:          `argument "property": must be a string, not ListValue`,
		`(properties: {a: "title"})`:     `argument "properties": must be a string, not ObjectValue`,
		`(limit: "3")`:                   `argument "limit": is not known; there are query, image, video, property and properties`,
		`(properties: ["year"])`:         `property "year" of Film is of type int; only text, text[], blob and blobHash can be ranked`,
	} {
		a := graphQLArguments(parsedArguments(t, arguments), filmClass(nil))
		if _, err := rerankArgumentsOf(a); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", arguments, err, want)
		}
	}
}

func TestGraphQLArgumentsWithoutACollectionAreAnError(t *testing.T) {
	_, err := rerankArgumentsOf(graphQLArguments(nil, nil))
	if err == nil || !strings.Contains(err.Error(), "only a search in one collection can be reranked") {
		t.Errorf("got %v", err)
	}
}

func TestGRPCArgumentsAreRead(t *testing.T) {
	query, property := "a ship", "title"
	a, err := rerankArgumentsOf(&rank.Params{Query: &query, Property: &property})
	if err != nil {
		t.Fatal(err)
	}
	if a.query != query || a.property != property || a.loaded {
		t.Errorf("got %+v", a)
	}
	if a, err = rerankArgumentsOf(&rank.Params{}); err != nil || a.query != "" || a.property != "" {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestArgumentsOfAnUnknownTypeAreAnError(t *testing.T) {
	for _, params := range []any{nil, 3, map[string]any{}} {
		if _, err := rerankArgumentsOf(params); err == nil {
			t.Errorf("%T: no error", params)
		}
	}
}

func TestTheGraphQLFieldHasTheArguments(t *testing.T) {
	field := rerankField("Film")
	for _, name := range []string{"query", "image", "video", "property"} {
		if got := field.Args[name].Type.String(); got != "String" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := field.Args["properties"].Type.String(); got != "[String]" {
		t.Errorf("properties: %s", got)
	}
	if got := field.Type.String(); got != "[FilmAdditionalReranker]" {
		t.Error(got)
	}
}
