package prism

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"prism.local/weaviate/prismv1"
)

// fieldList is a config key that lists properties of one modality.
type fieldList struct {
	key       string
	modality  prismv1.Modality
	dataTypes []string
}

// In the order in which a model reads an object's parts.
var fieldLists = []fieldList{
	{"textFields", prismv1.Modality_MODALITY_TEXT, []string{"text", "text[]"}},
	{"imageFields", prismv1.Modality_MODALITY_IMAGE, []string{"blob", "blobHash"}},
	{"videoFields", prismv1.Modality_MODALITY_VIDEO, []string{"blob", "blobHash"}},
}

// field is one property that is vectorized or ranked.
type field struct {
	name     string
	modality prismv1.Modality
	weight   float32
}

// settings is the config of one vector or of a collection's reranker. What is absent is the service's choice.
type settings struct {
	fields           []field
	weighted         bool // whether the fields' weights count
	model            string
	instruction      string // for stored objects, or for reranking
	queryInstruction string
	fusion           prismv1.Fusion
	dimensions       uint32
	requireVector    bool // an object without any of the fields is an error
}

// names lists the fields' properties.
func (s settings) names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}

// parseVectorizer reads the config of a vector. Its errors name the key and what was expected.
//
// Models with prompts, Qwen3-VL-Embedding among them, want other words for queries than for documents. So
// `instruction` replaces the prompt of stored objects and `queryInstruction` that of queries; without them both
// sides keep the model's own.
func parseVectorizer(config map[string]any) (settings, error) {
	c := configReader{config: config}
	s := settings{
		fields:           c.fields(),
		model:            c.text("model"),
		instruction:      c.text("instruction"),
		queryInstruction: c.text("queryInstruction"),
		fusion:           c.fusion("fusion"),
		dimensions:       c.dimensions("dimensions"),
		requireVector:    c.boolean("requireVector"),
	}
	s.weighted = c.weights("weights", s.fields)
	if s.weighted && s.fusion != prismv1.Fusion_FUSION_MEAN {
		c.fail(`weights: need "fusion": "mean", a joint vector has none`)
	}
	if len(s.fields) == 0 {
		c.fail("none of textFields, imageFields, videoFields names a property")
	}
	// clients write these for every vectorizer; names are never vectorized here
	unused := []string{"vectorizeClassName", "vectorizePropertyName"}
	for _, key := range unused {
		c.boolean(key)
	}
	if _, ok := config["properties"]; ok {
		c.fail("properties (source_properties): not used by this module, name the properties in textFields")
	}
	return s, c.finish(append(unused, "properties")...)
}

// parseReranker reads a collection's reranker config; it may be empty.
func parseReranker(config map[string]any) (settings, error) {
	c := configReader{config: config}
	s := settings{fields: c.fields(), model: c.text("model"), instruction: c.text("instruction")}
	return s, c.finish()
}

// configReader reads keys of a module config, and remembers what is known and what is wrong.
type configReader struct {
	config map[string]any
	known  []string
	errs   []error
}

func (c *configReader) fail(format string, values ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, values...))
}

func (c *configReader) value(key string) (any, bool) {
	c.known = append(c.known, key)
	value, ok := c.config[key]
	return value, ok && value != nil
}

// finish also refuses every key that nobody asked for, and names those that there are. It does neither for the
// unlisted: they mean nothing here, or have been refused already.
func (c *configReader) finish(unlisted ...string) error {
	var unknown []string
	for key := range c.config {
		if !slices.Contains(c.known, key) && !slices.Contains(unlisted, key) {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	listed := slices.DeleteFunc(slices.Clone(c.known), func(key string) bool { return slices.Contains(unlisted, key) })
	for _, key := range unknown {
		c.fail("%s: no such key; the keys are %s", key, strings.Join(listed, ", "))
	}
	return errors.Join(c.errs...)
}

func (c *configReader) fields() []field {
	var fields []field
	for _, list := range fieldLists {
		value, ok := c.value(list.key)
		if !ok {
			continue
		}
		names, ok := texts(value)
		if !ok {
			c.fail("%s: want a list of property names, got %s", list.key, shown(value))
		}
		for _, name := range names {
			if slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
				c.fail("%s: property %q is listed twice", list.key, name)
			}
			fields = append(fields, field{name: name, modality: list.modality})
		}
	}
	return fields
}

// weights sets each field's weight from lists parallel to those of the fields.
func (c *configReader) weights(key string, fields []field) bool {
	value, ok := c.value(key)
	if !ok {
		return false
	}
	lists, ok := value.(map[string]any)
	if !ok {
		c.fail("%s: want an object such as {\"textFields\": [1, 2]}, got %s", key, shown(value))
		return false
	}
	var sum float32
	for _, list := range fieldLists {
		of := ofModality(fields, list.modality)
		given, isList := lists[list.key].([]any)
		if _, there := lists[list.key]; there != (len(of) > 0) || there && (!isList || len(given) != len(of)) {
			c.fail("%s.%s: want a list of %d numbers, one per field, got %s", key, list.key, len(of), shown(lists[list.key]))
			continue
		}
		for i, each := range given {
			weight, ok := number(each)
			if !ok || weight < 0 || weight > math.MaxFloat32 {
				c.fail("%s.%s[%d]: want a number of at least 0, got %s", key, list.key, i, shown(each))
			}
			of[i].weight = float32(weight)
			sum += of[i].weight
		}
	}
	for name := range lists {
		if !slices.ContainsFunc(fieldLists, func(l fieldList) bool { return l.key == name }) {
			c.fail("%s.%s: no such key; the keys are textFields, imageFields, videoFields", key, name)
		}
	}
	if len(c.errs) == 0 && sum == 0 {
		c.fail("%s: at least one must be above 0", key)
	}
	return true
}

// ofModality is the run of fields that came from one list.
func ofModality(fields []field, modality prismv1.Modality) []field {
	start := slices.IndexFunc(fields, func(f field) bool { return f.modality == modality })
	if start < 0 {
		return nil
	}
	end := start
	for end < len(fields) && fields[end].modality == modality {
		end++
	}
	return fields[start:end]
}

func (c *configReader) text(key string) string {
	value, ok := c.value(key)
	text, isText := value.(string)
	if ok && !isText {
		c.fail("%s: want a text, got %s", key, shown(value))
	}
	return text
}

func (c *configReader) boolean(key string) bool {
	value, ok := c.value(key)
	boolean, isBoolean := value.(bool)
	if ok && !isBoolean {
		c.fail("%s: want true or false, got %s", key, shown(value))
	}
	return boolean
}

func (c *configReader) fusion(key string) prismv1.Fusion {
	value, ok := c.value(key)
	switch {
	case !ok:
		return prismv1.Fusion_FUSION_UNSPECIFIED
	case value == "joint":
		return prismv1.Fusion_FUSION_JOINT
	case value == "mean":
		return prismv1.Fusion_FUSION_MEAN
	}
	c.fail(`%s: want "joint" or "mean", got %s`, key, shown(value))
	return prismv1.Fusion_FUSION_UNSPECIFIED
}

func (c *configReader) dimensions(key string) uint32 {
	value, ok := c.value(key)
	if !ok {
		return 0
	}
	const most = 65535 // of Weaviate's indexes
	n, isNumber := number(value)
	if !isNumber || n < 1 || n > most || n != math.Trunc(n) {
		c.fail("%s: want a whole number from 1 to %d, got %s", key, most, shown(value))
		return 0
	}
	return uint32(n)
}

// number accepts what Weaviate's ways to a config make of one.
func number(value any) (float64, bool) {
	switch n := value.(type) {
	case float64:
		return n, !math.IsNaN(n)
	case float32:
		return float64(n), true
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	}
	return 0, false
}

// texts reads a list of texts that came through JSON or not.
func texts(value any) ([]string, bool) {
	switch list := value.(type) {
	case []string:
		return list, true
	case []any:
		found := make([]string, len(list))
		for i, each := range list {
			text, ok := each.(string)
			if !ok {
				return nil, false
			}
			found[i] = text
		}
		return found, true
	}
	return nil, false
}

func shown(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%T", value)
	}
	if len(text) > 100 {
		text = append(text[:100], "..."...)
	}
	return string(text)
}
