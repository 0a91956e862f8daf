package models

type Class struct{}
