package prism

import (
	"reflect"
	"testing"
)

func TestChunksKeepTheLimitAndTheOrder(t *testing.T) {
	for name, c := range map[string]struct {
		sizes []int
		want  [][2]int
	}{
		"none":           {nil, nil},
		"one too large":  {[]int{500}, [][2]int{{0, 1}}},
		"large in line":  {[]int{10, 500, 10}, [][2]int{{0, 1}, {1, 2}, {2, 3}}},
		"several":        {[]int{40, 40, 40, 40, 40}, [][2]int{{0, 2}, {2, 4}, {4, 5}}},
		"exactly full":   {[]int{50, 50, 1}, [][2]int{{0, 2}, {2, 3}}},
		"many small":     {make([]int, 41), [][2]int{{0, 20}, {20, 40}, {40, 41}}},
		"exactly enough": {make([]int, 20), [][2]int{{0, 20}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := chunks(c.sizes, 100, 20); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestFewerPartsFitIntoACallThanTheServiceTakes(t *testing.T) {
	tags := map[string]any{"tags": make([]string, 100)}
	size, _ := measure([]field{{"tags", isText, 0}}, tags)
	sizes := make([]int, 500)
	for i := range sizes {
		sizes[i] = size
	}
	for _, c := range chunks(sizes, chunkBytes, chunkItems) {
		if parts := 100 * (c[1] - c[0]); parts > 10_000 {
			t.Errorf("%d parts in one call", parts)
		}
	}
}
