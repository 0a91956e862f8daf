package prism

// chunks splits items of the given sizes into ranges [start, end) of at most `bytes` and `count` items; an item that is
// larger by itself has a range of its own.
func chunks(sizes []int, bytes, count int) [][2]int {
	var ranges [][2]int
	start, sum := 0, 0
	for i, size := range sizes {
		if i > start && (sum+size > bytes || i-start == count) {
			ranges = append(ranges, [2]int{start, i})
			start, sum = i, 0
		}
		sum += size
	}
	if start < len(sizes) {
		ranges = append(ranges, [2]int{start, len(sizes)})
	}
	return ranges
}
