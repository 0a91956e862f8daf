package prism

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearImage"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearText"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearVideo"

	"prism.local/weaviate/prismv1"
)

// queryValue is one part of a query as the user wrote it.
type queryValue struct {
	name     string
	modality prismv1.Modality
	value    string
}

// rerankQuery is what the arguments say, all of it as one item, else what the search itself looks for.
func rerankQuery(a *rerankArguments, near map[string]any) (*prismv1.Item, error) {
	values := given(
		queryValue{"query", queryModality(a.query), a.query},
		queryValue{"image", prismv1.Modality_MODALITY_IMAGE, a.image},
		queryValue{"video", prismv1.Modality_MODALITY_VIDEO, a.video},
	)
	if len(values) == 0 {
		values = searchedFor(near)
	}
	if len(values) == 0 {
		return nil, errors.New("query is missing: give one to rerank; " +
			"only a nearText, nearImage or nearVideo search has one that it could take instead")
	}
	item := &prismv1.Item{Id: "query"}
	for _, v := range values {
		part, err := v.part()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		item.Parts = append(item.Parts, part)
	}
	return item, nil
}

// queryModality: gRPC has room for a text only, so a picture or clip comes in it as a data: URI or, as with
// Weaviate's own modules, as bare base64. Text that merely looks like base64 decodes to no known format.
func queryModality(query string) prismv1.Modality {
	content, isURI := strings.CutPrefix(query, "data:")
	if !isURI {
		data, err := base64.StdEncoding.DecodeString(query)
		if err != nil {
			return prismv1.Modality_MODALITY_TEXT
		}
		content = http.DetectContentType(data)
	}
	switch {
	case strings.HasPrefix(content, "image/"):
		return prismv1.Modality_MODALITY_IMAGE
	case strings.HasPrefix(content, "video/"):
		return prismv1.Modality_MODALITY_VIDEO
	default:
		return prismv1.Modality_MODALITY_TEXT
	}
}

// searchedFor reads the near* parameters of the search. Concepts become one text, as one query is ranked by.
func searchedFor(near map[string]any) []queryValue {
	var values []queryValue
	for name, parameters := range near {
		switch p := parameters.(type) {
		case *nearText.NearTextParams:
			values = append(values, queryValue{name, prismv1.Modality_MODALITY_TEXT, strings.Join(p.Values, ", ")})
		case *nearImage.NearImageParams:
			values = append(values, queryValue{name, prismv1.Modality_MODALITY_IMAGE, p.Image})
		case *nearVideo.NearVideoParams:
			values = append(values, queryValue{name, prismv1.Modality_MODALITY_VIDEO, p.Video})
		}
	}
	return given(values...)
}

func given(values ...queryValue) []queryValue {
	var found []queryValue
	for _, v := range values {
		if v.value != "" {
			found = append(found, v)
		}
	}
	return found
}

func (v queryValue) part() (*prismv1.Part, error) {
	if v.modality == prismv1.Modality_MODALITY_TEXT {
		return textPart(v.value), nil
	}
	return mediaPart(v.modality, v.value)
}
