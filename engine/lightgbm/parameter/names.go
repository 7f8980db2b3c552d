package parameter

import "strings"

// initialisms are parts of names that Go writes in capitals.
var initialisms = map[string]string{
	"auc": "AUC", "cegb": "CEGB", "gpu": "GPU", "id": "ID", "dp": "DP", "xgboost": "XGBoost",
}

// FieldName returns the name of the Config field that holds the parameter:
// num_leaves becomes NumLeaves.
func (p Parameter) FieldName() string {
	var b strings.Builder
	for part := range strings.SplitSeq(p.Name, "_") {
		if known, ok := initialisms[part]; ok {
			b.WriteString(known)
			continue
		}
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// ShownDefault returns the default for readers.
func (p Parameter) ShownDefault() string {
	switch {
	case p.DefaultText != "":
		return p.DefaultText
	case p.Default == "":
		return "empty"
	default:
		return p.Default
	}
}

// ShownBounds returns the bounds for readers, as in "> 0.0, <= 1.0"; empty
// if there are none.
func (p Parameter) ShownBounds() string {
	texts := make([]string, len(p.Bounds))
	for i, b := range p.Bounds {
		texts[i] = b.String()
	}
	return strings.Join(texts, ", ")
}
