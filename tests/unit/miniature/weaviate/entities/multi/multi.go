package multi

type Identifier struct{}
