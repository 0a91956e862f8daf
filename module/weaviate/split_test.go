package prism

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"prism.local/weaviate/prismv1"
)

func sized(bytes ...int) []*prismv1.Item {
	items := make([]*prismv1.Item, len(bytes))
	for i, n := range bytes {
		items[i] = &prismv1.Item{Parts: []*prismv1.Part{{Content: &prismv1.Part_Data{Data: make([]byte, n)}}}}
	}
	return items
}

func TestChunksKeepTheLimitAndTheOrder(t *testing.T) {
	for name, c := range map[string]struct {
		items []*prismv1.Item
		want  [][2]int
	}{
		"none":           {nil, nil},
		"one too large":  {sized(500), [][2]int{{0, 1}}},
		"large in line":  {sized(10, 500, 10), [][2]int{{0, 1}, {1, 2}, {2, 3}}},
		"several":        {sized(40, 40, 40, 40, 40), [][2]int{{0, 2}, {2, 4}, {4, 5}}},
		"many small":     {sized(make([]int, 2*chunkItems+1)...), nil},
		"exactly enough": {sized(make([]int, 20)...), [][2]int{{0, 20}}},
	} {
		t.Run(name, func(t *testing.T) {
			limit := 100
			if len(c.items) > 100 {
				limit, c.want = 1<<20, [][2]int{{0, chunkItems}, {chunkItems, 2 * chunkItems}, {2 * chunkItems, 2*chunkItems + 1}}
			}
			got := chunks(c.items, limit)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			for _, r := range got {
				size := 0
				for _, item := range c.items[r[0]:r[1]] {
					size += proto.Size(item)
				}
				if r[1]-r[0] > 1 && size > limit {
					t.Errorf("%v: %d bytes", r, size)
				}
			}
		})
	}
}
