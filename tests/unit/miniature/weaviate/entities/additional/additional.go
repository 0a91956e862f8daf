package additional

type Properties struct{}
