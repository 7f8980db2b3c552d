package document

import (
	"reflect"
	"slices"
	"strings"
)

// Walk calls visit for each struct in a document, as a pointer to it, the inner
// ones first. Entries of maps come sorted.
func Walk(doc any, visit func(at Path, value any)) { walkStructs("", reflect.ValueOf(doc), visit) }

func walkStructs(path Path, v reflect.Value, visit func(Path, any)) {
	switch t := v.Type(); {
	case isLeaf(t), isSet(t):
	case t.Kind() == reflect.Pointer:
		if v.IsNil() {
			return
		}
		for _, f := range fieldsOf(t.Elem()) {
			inner := v.Elem().FieldByIndex(f.Index)
			if f.isStruct() {
				inner = inner.Addr()
			}
			walkStructs(path.Field(f.name), inner, visit)
		}
		visit(path, v.Interface())
	case t.Kind() == reflect.Map:
		for _, k := range sortedKeys(v) {
			walkStructs(path.Key(leafText(k)), v.MapIndex(k), visit)
		}
	}
}

func sortedKeys(v reflect.Value) []reflect.Value {
	if !v.IsValid() {
		return nil
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(leafText(a), leafText(b)) })
	return keys
}
