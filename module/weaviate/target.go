package prism

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weaviate/weaviate/entities/models"

	"prism.local/weaviate/prismv1"
)

// target is one vector that a collection's objects get.
type target struct {
	name     string // empty for the unnamed one
	settings settings
}

func (t target) message() *prismv1.Target {
	message := &prismv1.Target{
		Name:        t.name,
		Model:       t.settings.model,
		Dimensions:  t.settings.dimensions,
		Instruction: t.settings.instruction,
		Fusion:      t.settings.fusion,
		Fields:      t.settings.names(),
	}
	if t.settings.weighted {
		for _, f := range t.settings.fields {
			message.Weights = append(message.Weights, f.weight)
		}
	}
	return message
}

// plain is the field without its weight, which is the target's own.
func (f field) plain() field { return field{name: f.name, modality: f.modality} }

// union lists the fields of all targets: texts, then pictures, then clips, as each target reads them.
func union(targets []target) []field {
	var all []field
	for _, t := range targets {
		for _, f := range t.settings.fields {
			if !slices.Contains(all, f.plain()) {
				all = append(all, f.plain())
			}
		}
	}
	slices.SortStableFunc(all, func(a, b field) int { return int(a.modality) - int(b.modality) })
	return all
}

// sharedTargets lists the vectors that one call can compute together with `own`: those of this module, in the order of
// their names, that read the fields they have in common in the same order.
func sharedTargets(class *models.Class, own target) []target {
	all := []target{own}
	ours := configs(class)
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		if name == own.name {
			continue
		}
		s, err := vectorSettings(class, ours[name])
		if err != nil {
			continue // reported by this target's own call
		}
		if more := append(slices.Clone(all), target{name, s}); ordered(more) {
			all = more
		}
	}
	slices.SortFunc(all, func(a, b target) int { return cmp.Compare(a.name, b.name) })
	return all
}

// configs lists this module's configs of a collection by target vector.
func configs(class *models.Class) map[string]map[string]any {
	found := map[string]map[string]any{}
	if class == nil {
		return found
	}
	add := func(name string, modules any) {
		byModule, _ := modules.(map[string]any)
		if config, ok := byModule[vectorizerName].(map[string]any); ok {
			found[name] = config
		}
	}
	if class.Vectorizer == vectorizerName {
		add("", class.ModuleConfig)
	}
	for name, vector := range class.VectorConfig {
		if vector.VectorIndexType != "none" { // the index is being dropped; its objects get no vectors
			add(name, vector.Vectorizer)
		}
	}
	return found
}

// ordered tells whether each target finds its fields in the order of its own in an item made of the fields of all.
func ordered(targets []target) bool {
	all := union(targets)
	for _, t := range targets {
		last := -1
		for _, f := range t.settings.fields {
			at := slices.Index(all, f.plain())
			if at < last {
				return false
			}
			last = at
		}
	}
	modality := map[string]field{}
	for _, f := range all { // parts are selected by name, so a name must mean one thing
		if other, ok := modality[f.name]; ok && other != f {
			return false
		}
		modality[f.name] = f
	}
	return true
}
