package prism

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"prism.local/weaviate/prismv1"
)

const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestPropertiesBecomePartsInTheOrderOfTheFields(t *testing.T) {
	fields := []field{{"title", isText, 0}, {"tags", isText, 0}, {"more", isText, 0}, {"still", isImage, 0}, {"hashed", isImage, 0}, {"clip", isVideo, 0}, {"gone", isText, 0}}
	found, err := parts(fields, map[string]any{
		"clip": "Y2xpcA==", "hashed": digest, "still": "data:image/png;base64,c3RpbGw=", "tags": []string{"a", "b"},
		"more": []any{"c"}, "title": "", "gone": nil, "other": "ignored",
	}, mediaPart)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range found {
		got = append(got, p.Field+":"+strings.TrimPrefix(p.Modality.String(), "MODALITY_")+":"+p.GetText()+string(p.GetData())+p.GetDigest())
	}
	want := "title:TEXT: tags:TEXT:a tags:TEXT:b more:TEXT:c still:IMAGE:still hashed:IMAGE:" + digest + " clip:VIDEO:clip"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %q\nwant %q", strings.Join(got, " "), want)
	}
	if _, ok := found[5].Content.(*prismv1.Part_Digest); !ok {
		t.Errorf("the digest travels as %T", found[5].Content)
	}
}

func TestAnObjectWithoutPropertiesHasNoParts(t *testing.T) {
	for _, properties := range []any{nil, map[string]any(nil), map[string]any{"title": nil, "tags": []any{}}} {
		if found, err := parts([]field{{"title", isText, 0}, {"tags", isText, 0}}, properties, mediaPart); err != nil || found != nil {
			t.Errorf("%v: %v, %v", properties, found, err)
		}
	}
}

func TestUnusablePropertiesAreErrorsThatNameThem(t *testing.T) {
	for name, c := range map[string]struct {
		field field
		value any
		want  string
	}{
		"not base64": {field{"still", isImage, 0}, "%%%", `property "still": is not base64`},
		"empty":      {field{"still", isImage, 0}, "", `property "still": is empty`},
		"bad URI":    {field{"clip", isVideo, 0}, "data:video/mp4,abc", "data:TYPE;base64,DATA"},
		"number":     {field{"title", isText, 0}, 3.0, `property "title": cannot be vectorized: its value is of type float64`},
		"mixed list": {field{"tags", isText, 0}, []any{"a", 1.0}, `property "tags"`},
		"media list": {field{"still", isImage, 0}, []any{"YQ=="}, `property "still"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parts([]field{c.field}, map[string]any{c.field.name: c.value}, mediaPart)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestMediaAreDecodedAsTheStandardLibraryDecodesThem(t *testing.T) {
	for size := range 200 {
		want := make([]byte, size+1)
		for i := range want {
			want[i] = byte(i * size)
		}
		part, err := mediaPart(isImage, base64.StdEncoding.EncodeToString(want))
		if err != nil || !bytes.Equal(part.GetData(), want) {
			t.Fatalf("%d bytes: %v, %v", len(want), part, err)
		}
	}
	bad := strings.Repeat("AAAA", 50) + "A%AA"
	if _, err := mediaPart(isImage, bad); err == nil || !strings.Contains(err.Error(), "at input byte 201") {
		t.Errorf("got %v", err)
	}
}

func TestPartsAreMeasuredWithoutDecodingThem(t *testing.T) {
	fields := []field{{"title", isText, 0}, {"tags", isText, 0}, {"still", isImage, 0}}
	for name, test := range map[string]struct {
		properties any
		bytes      int
		some       bool
	}{
		"nothing":          {nil, 0, false},
		"null":             {map[string]any{"title": nil}, 0, false},
		"an empty list":    {map[string]any{"tags": []any{}}, 0, false},
		"an empty text":    {map[string]any{"title": ""}, partBytes, true},
		"texts":            {map[string]any{"title": "abc", "tags": []string{"d", "ef"}}, 3*partBytes + 6, true},
		"base64":           {map[string]any{"still": media("twelve bytes")}, partBytes + 12, true},
		"of another type":  {map[string]any{"still": []any{}}, 0, true},
		"another property": {map[string]any{"other": "abc"}, 0, false},
	} {
		if bytes, some := measure(fields, test.properties); bytes != test.bytes || some != test.some {
			t.Errorf("%s: %d, %v", name, bytes, some)
		}
	}
}
