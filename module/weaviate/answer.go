package prism

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/grpc/codes"

	"prism.local/weaviate/prismv1"
)

// checkBlocks makes sure that rows can be read from an answer.
func checkBlocks(request *prismv1.VectorizeRequest, response *prismv1.VectorizeResponse) error {
	if len(response.Blocks) != len(request.Targets) {
		return fmt.Errorf("prism: the answer has %d blocks for %d targets", len(response.Blocks), len(request.Targets))
	}
	for i, block := range response.Blocks {
		want := request.Targets[i]
		if block.Target != want.Name {
			return fmt.Errorf("prism: block %d of the answer is of target %q, want %q", i, block.Target, want.Name)
		}
		if bytes := 4 * int(block.Dimensions) * len(request.Items); len(block.Vectors) != bytes {
			return fmt.Errorf("prism: target %q: %d bytes of vectors, want %d for %d vectors of %d dimensions",
				want.Name, len(block.Vectors), bytes, len(request.Items), block.Dimensions)
		}
		// 0: no item of the target succeeded, so the width is not known
		if want.Dimensions != 0 && block.Dimensions != 0 && block.Dimensions != want.Dimensions {
			return fmt.Errorf("prism: target %q: vectors of %d dimensions, want %d", want.Name, block.Dimensions, want.Dimensions)
		}
	}
	return nil
}

// row copies one vector of a block; nil if it is zero, which no embedding is.
func row(block *prismv1.Block, i int) []float32 {
	vector := make([]float32, block.Dimensions)
	bytes := block.Vectors[4*len(vector)*i:]
	zero := true
	for d := range vector {
		vector[d] = math.Float32frombits(binary.LittleEndian.Uint32(bytes[4*d:]))
		zero = zero && vector[d] == 0
	}
	if zero {
		return nil
	}
	return vector
}

// reported keeps the service's own words.
func reported(e *prismv1.ItemError) error {
	return fmt.Errorf("prism: %s: %s", codes.Code(e.Code), e.Message)
}

func itemError(e *prismv1.ItemError, item *prismv1.Item) error {
	err := reported(e)
	digest := slices.ContainsFunc(item.Parts, func(p *prismv1.Part) bool { return p.GetDigest() != "" })
	if digest && codes.Code(e.Code) == codes.Unimplemented {
		return fmt.Errorf("%w: a blobHash property holds only a digest, send the whole object with its media (PUT)", err)
	}
	return err
}
