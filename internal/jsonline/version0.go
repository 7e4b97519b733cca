package jsonline

import (
	"bytes"
	"encoding/json"
)

// Version 0 had these 64-bit numbers as numbers, and other names for some fields and kinds.
var (
	numbers0 = map[string]bool{
		"for_request": true, "attempt": true, "of": true, "shared_with": true, "rival": true, "loads": true,
		"cgroup_id": true, "inode": true, "change_time_ns": true, "record": true,
		"boottime_ns": true, "start_boottime_ns": true, "end_boottime_ns": true, "first_boottime_ns": true, "last_boottime_ns": true,
	}
	fields0 = map[string]string{"kin": "ancestor", "untold": "incomplete"}
	kinds0  = map[string]string{"kin": "ancestor"}
)

func fromVersion0(text []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a float64 would lose the low digits
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	upgrade0(object)
	return Marshal(object)
}

func upgrade0(value any) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			upgrade0(item)
		}
	case map[string]any:
		for name, to := range fields0 {
			if inner, ok := value[name]; ok {
				delete(value, name)
				value[to] = inner
			}
		}
		for name, inner := range value {
			value[name] = upgraded0(value, name, inner)
		}
	}
}

// upgraded0 gives the value of a field.
func upgraded0(object map[string]any, name string, value any) any {
	switch value := value.(type) {
	case json.Number:
		if numbers0[name] || name == "id" && !isNamespace(object) || name == "size" && isCall(object) {
			return value.String()
		}
	case string:
		if to, ok := kinds0[value]; ok && name == "event" {
			return to
		}
	case []any:
		for i, item := range value {
			if number, ok := item.(json.Number); ok && numbers0[name] {
				value[i] = number.String()
			}
			if kind, ok := item.(string); ok && name == "seen" && kinds0[kind] != "" {
				value[i] = kinds0[kind]
			}
		}
		upgrade0(value)
	default:
		upgrade0(value)
	}
	return value
}

// isNamespace tells a namespace, whose number has 32 bits.
func isNamespace(object map[string]any) bool { return object["initial"] != nil }

// isCall tells a system call as its caller made it, who may claim any size.
func isCall(object map[string]any) bool { return object["compat"] != nil }
