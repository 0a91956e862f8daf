package search

type Result struct{}
