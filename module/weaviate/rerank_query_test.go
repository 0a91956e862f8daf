package prism

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearAudio"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearImage"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearText"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearVideo"

	"prism.local/weaviate/prismv1"
)

// describe writes an item as "modality:content ...", so that tests can say what they expect.
func describe(item *prismv1.Item) string {
	words := []string{}
	for _, p := range item.GetParts() {
		modality := strings.ToLower(strings.TrimPrefix(p.GetModality().String(), "MODALITY_"))
		content := p.GetText() + string(p.GetData())
		if p.GetDigest() != "" {
			content = "digest"
		}
		words = append(words, modality+":"+content)
	}
	return strings.Join(words, " ")
}

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestTheQueryIsWhatIsGivenElseWhatIsSearchedFor(t *testing.T) {
	picture, clip := base64Of("picture"), base64Of("clip")
	text := &nearText.NearTextParams{Values: []string{"a ship", "a storm"}}
	for name, test := range map[string]struct {
		arguments rerankArguments
		near      map[string]any
		want      string
	}{
		"text":    {rerankArguments{query: "a ship"}, nil, "text:a ship"},
		"picture": {rerankArguments{image: picture}, nil, "image:picture"},
		"clip":    {rerankArguments{video: clip}, nil, "video:clip"},
		"all as one item": {
			rerankArguments{query: "a ship", image: picture, video: clip}, nil, "text:a ship image:picture video:clip",
		},
		"a data: URI of a picture":      {rerankArguments{query: "data:image/png;base64," + picture}, nil, "image:picture"},
		"a data: URI of a clip":         {rerankArguments{query: "data:video/mp4;base64," + clip}, nil, "video:clip"},
		"bare base64 of a picture":      {rerankArguments{query: base64Of("GIF89a picture")}, nil, "image:GIF89a picture"},
		"bare base64 of a clip":         {rerankArguments{query: base64Of("\x1a\x45\xdf\xa3 clip")}, nil, "video:\x1a\x45\xdf\xa3 clip"},
		"a text that looks like base64": {rerankArguments{query: "boat"}, nil, "text:boat"},
		"a text that begins with data":  {rerankArguments{query: "data: the new oil"}, nil, "text:data: the new oil"},
		"given before searched for":     {rerankArguments{query: "a boat"}, map[string]any{"nearText": text}, "text:a boat"},
		"given picture before nearText": {rerankArguments{image: picture}, map[string]any{"nearText": text}, "image:picture"},
		"nearText":                      {rerankArguments{}, map[string]any{"nearText": text}, "text:a ship, a storm"},
		"nearImage":                     {rerankArguments{}, map[string]any{"nearImage": &nearImage.NearImageParams{Image: picture}}, "image:picture"},
		"nearVideo":                     {rerankArguments{}, map[string]any{"nearVideo": &nearVideo.NearVideoParams{Video: clip}}, "video:clip"},
		"nearImage with a data: URI":    {rerankArguments{}, map[string]any{"nearImage": &nearImage.NearImageParams{Image: "data:image/png;base64," + picture}}, "image:picture"},
	} {
		t.Run(name, func(t *testing.T) {
			item, err := rerankQuery(&test.arguments, test.near)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(item); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestASearchWithoutAQueryIsAnError(t *testing.T) {
	for name, near := range map[string]map[string]any{
		"hybrid, bm25, nearVector, nearObject": nil,
		"moves only":                           {"nearText": &nearText.NearTextParams{}},
		"another modality":                     {"nearAudio": &nearAudio.NearAudioParams{Audio: "AAAA"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rerankQuery(&rerankArguments{}, near)
			if err == nil || !strings.HasPrefix(err.Error(), "query is missing: give one to rerank") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAQueryThatIsNotBase64IsAnErrorThatNamesTheArgument(t *testing.T) {
	for _, test := range []struct {
		arguments rerankArguments
		near      map[string]any
		name      string
	}{
		{rerankArguments{image: "not base64!"}, nil, "image: "},
		{rerankArguments{query: "a ship", video: "not base64!"}, nil, "video: "},
		{rerankArguments{query: "data:image/png;base64,not base64!"}, nil, "query: "},
		{rerankArguments{}, map[string]any{"nearImage": &nearImage.NearImageParams{Image: "not base64!"}}, "nearImage: "},
	} {
		if _, err := rerankQuery(&test.arguments, test.near); err == nil || !strings.HasPrefix(err.Error(), test.name) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}
