package prism

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru"
	"google.golang.org/grpc/codes"

	"prism.local/weaviate/prismv1"
)

// At some 250 bytes each, 16 MB.
const keptDigests = 1 << 16

// keptMedia knows which media the service keeps, so that the documents of a search need not carry them: the same
// pictures come up in many searches, and 100 of 100 kB are 10 MB to decode, send and read.
type keptMedia struct {
	models  sync.Map   // those for which the service keeps media, by their latest answers
	digests *lru.Cache // by keptKey
}

// keptKey: what one model has seen, another one may not.
type keptKey struct{ model, digest string }

func newKeptMedia() *keptMedia {
	digests, err := lru.New(keptDigests)
	if err != nil {
		panic(err) // of a size below 1
	}
	return &keptMedia{digests: digests}
}

// sending makes the media of one call's documents: digests of what the service keeps, the bytes of all else.
type sending struct {
	kept  *keptMedia
	model string
	whole bool // all of them as bytes
	// The keys of parts: of those that go as digests, since the service keeps the media, and of those that go as bytes.
	assumed, fresh map[*prismv1.Part]keptKey
}

func (k *keptMedia) sending(model string, whole bool) *sending {
	return &sending{k, model, whole, map[*prismv1.Part]keptKey{}, map[*prismv1.Part]keptKey{}}
}

func (s *sending) part(modality prismv1.Modality, value string) (*prismv1.Part, error) {
	if _, keeps := s.kept.models.Load(s.model); !keeps {
		return mediaPart(modality, value)
	}
	text, err := base64Text(value)
	if err != nil {
		return nil, err
	}
	key := keptKey{s.model, digestOf(text)}
	if _, ok := s.kept.digests.Get(key); ok && !s.whole {
		made := digestPart(modality, key.digest)
		s.assumed[made] = key
		return made, nil
	}
	made, err := mediaPart(modality, text)
	if err == nil && isCanonical(text, made.GetData()) {
		s.fresh[made] = key
	}
	return made, err
}

// answered learns from the service's answer what it keeps now. Documents at the positions returned could not be scored
// for want of media, and are to be sent again: it has dropped them meanwhile.
func (s *sending) answered(documents []*prismv1.Item, response *prismv1.RerankResponse) (again []int) {
	if response.GetKeepsMedia() {
		s.kept.models.Store(s.model, nil)
	} else {
		s.kept.models.Delete(s.model)
	}
	failed := map[int]codes.Code{}
	for _, each := range response.GetErrors() {
		failed[int(each.GetIndex())] = codes.Code(each.GetCode())
	}
	for i, document := range documents {
		code, isFailed := failed[i]
		// a service that runs with --rerank-bad-document=last tells no codes
		isLast := !isFailed && i < len(response.GetScores()) && response.GetScores()[i] == lowestScore
		switch {
		case isLast || code == codes.Unimplemented:
			if s.forget(document) {
				again = append(again, i)
			}
		case !isFailed && response.GetKeepsMedia():
			s.remember(document)
		}
	}
	return again
}

func (s *sending) remember(document *prismv1.Item) {
	for _, part := range document.GetParts() {
		if key, ok := s.fresh[part]; ok {
			s.kept.digests.Add(key, nil)
		}
	}
}

// forget tells whether there is more of a document to send than digests; those of blobHash properties are all there is.
func (s *sending) forget(document *prismv1.Item) (more bool) {
	for _, part := range document.GetParts() {
		if key, ok := s.assumed[part]; ok {
			s.kept.digests.Remove(key)
			more = true
		}
	}
	return more
}

// isCanonical tells whether the text is what encoding the bytes gives, and so its digest that of the bytes: the service
// knows nothing of line breaks and stray bits, which decoding passes over.
func isCanonical(text string, data []byte) bool {
	last := (len(data) - 1) / 3 * 3
	return len(text) == base64.StdEncoding.EncodedLen(len(data)) && strings.HasSuffix(text, base64.StdEncoding.EncodeToString(data[last:]))
}

// digestOf is what Weaviate keeps of a blobHash property, and what the service calls media by.
func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
