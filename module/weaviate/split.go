package prism

import (
	"google.golang.org/protobuf/proto"

	"prism.local/weaviate/prismv1"
)

// chunks splits items into ranges [start, end) of at most `limit` bytes and chunkItems items; an item that is larger
// by itself has a range of its own.
func chunks(items []*prismv1.Item, limit int) [][2]int {
	var ranges [][2]int
	start, bytes := 0, 0
	for i, item := range items {
		size := proto.Size(item)
		if i > start && (bytes+size > limit || i-start == chunkItems) {
			ranges = append(ranges, [2]int{start, i})
			start, bytes = i, 0
		}
		bytes += size
	}
	if start < len(items) {
		ranges = append(ranges, [2]int{start, len(items)})
	}
	return ranges
}
