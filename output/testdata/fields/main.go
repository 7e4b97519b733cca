// Fields writes the published field names of a schema, with their types, from a checkout
// of the schema's own repository. Into ../ocsf.txt and ../ecs.txt:
//
//	go run ./output/testdata/fields ocsf OCSF-SCHEMA >output/testdata/ocsf.txt
//	go run ./output/testdata/fields ecs ECS >output/testdata/ecs.txt
//
// The repositories are github.com/ocsf/ocsf-schema and github.com/elastic/ecs, at the
// release that the first line names.
package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/goccy/go-yaml"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: fields ocsf|ecs CHECKOUT")
	}
	var err error
	switch os.Args[1] {
	case "ocsf":
		err = ocsf(os.Args[2])
	case "ecs":
		err = ecs(os.Args[2])
	default:
		err = fmt.Errorf("no schema %q", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

// objects are those of OCSF that the documents have, with their files.
var objects = []string{
	"events/base_event", "events/findings/detection_finding", "events/system/kernel_extension_activity",
	"objects/actor", "objects/analytic", "objects/attack", "objects/container", "objects/device", "objects/digital_signature", "objects/evidences", "objects/file", "objects/finding_info", "objects/fingerprint",
	"objects/kernel_driver", "objects/metadata", "objects/os", "objects/process", "objects/process_entity", "objects/product",
	"objects/session", "objects/sub_technique", "objects/technique", "objects/user",
}

type attribute struct {
	Type        string          `json:"type"`
	Array       bool            `json:"is_array"`
	Requirement string          `json:"requirement"`
	Profile     json.RawMessage `json:"profile"`
	Enum        map[string]any  `json:"enum"`
	Deprecated  any             `json:"@deprecated"`
}

type object struct {
	UID         *int                       `json:"uid"`
	Extends     string                     `json:"extends"`
	Category    string                     `json:"category"`
	Name        string                     `json:"name"`
	Attributes  map[string]json.RawMessage `json:"attributes"`
	Constraints map[string][]string        `json:"constraints"`
}

type schema struct {
	root       string
	dictionary map[string]attribute
	files      map[string]string // by kind and name, as in objects/finding: there is an event of that name too
}

func read(v any, names ...string) error {
	text, err := os.ReadFile(filepath.Join(names...))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

func ocsf(root string) error {
	var version struct{ Version string }
	if err := read(&version, root, "version.json"); err != nil {
		return err
	}
	var dictionary struct{ Attributes map[string]attribute }
	if err := read(&dictionary, root, "dictionary.json"); err != nil {
		return err
	}
	s := schema{root: root, dictionary: dictionary.Attributes, files: map[string]string{}}
	for _, pattern := range []string{"events/*.json", "events/*/*.json", "objects/*.json"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			s.files[pattern[:strings.IndexByte(pattern, '/')+1]+strings.TrimSuffix(filepath.Base(path), ".json")] = path
		}
	}
	fmt.Printf("# OCSF %s: names, types, requirements, profiles (of a profile) and values of fields.\n", version.Version)
	fmt.Println("# Written by testdata/fields from the repository ocsf/ocsf-schema.")
	for _, path := range objects {
		if err := s.print(path[:strings.IndexByte(path, '/')+1], filepath.Base(path)); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// resolve joins an object with what it extends and includes.
func (s schema) resolve(kind, name string, into map[string]attribute, constraints map[string][]string) error {
	var o object
	path, ok := s.files[kind+name]
	if !ok {
		return fmt.Errorf("no %s", name)
	}
	if err := read(&o, path); err != nil {
		return err
	}
	if o.Extends != "" {
		if err := s.resolve(kind, o.Extends, into, constraints); err != nil {
			return err
		}
	}
	if o.Constraints != nil {
		clear(constraints) // they replace those of what is extended
		maps.Copy(constraints, o.Constraints)
	}
	var includes []string
	if raw, ok := o.Attributes["$include"]; ok {
		if err := json.Unmarshal(raw, &includes); err != nil {
			return err
		}
	}
	for _, include := range includes {
		var p object
		if err := read(&p, s.root, include); err != nil {
			return err
		}
		profile, _ := json.Marshal(p.Name)
		for field, raw := range p.Attributes {
			if err := s.attribute(field, raw, profile, into); err != nil {
				return err
			}
		}
	}
	for field, raw := range o.Attributes {
		if field == "$include" {
			continue
		}
		if err := s.attribute(field, raw, nil, into); err != nil {
			return err
		}
	}
	return nil
}

func (s schema) attribute(field string, raw json.RawMessage, profile json.RawMessage, into map[string]attribute) error {
	a, there := into[field]
	if !there {
		a = s.dictionary[field]
		a.Profile = profile
	}
	values := a.Enum
	a.Enum = nil
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	if a.Enum == nil {
		a.Enum = values
	} else {
		all := maps.Clone(values)
		if all == nil {
			all = map[string]any{}
		}
		maps.Copy(all, a.Enum)
		a.Enum = all
	}
	into[field] = a
	return nil
}

func (s schema) print(kind, name string) error {
	fields, constraints := map[string]attribute{}, map[string][]string{}
	if err := s.resolve(kind, name, fields, constraints); err != nil {
		return err
	}
	fmt.Printf("\n%s", name)
	if c := constraints["at_least_one"]; len(c) > 0 {
		fmt.Printf(" one-of=%s", strings.Join(c, ","))
	}
	fmt.Println()
	if err := s.numbers(kind, name, fields); err != nil {
		return err
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		a := fields[field]
		kind := a.Type
		if a.Array {
			kind += "[]"
		}
		fmt.Printf("  %s %s", field, kind)
		if a.Requirement == "required" {
			fmt.Print(" required")
		}
		if a.Deprecated != nil {
			fmt.Print(" deprecated")
		}
		var profile string
		if json.Unmarshal(a.Profile, &profile) == nil && profile != "" {
			fmt.Printf(" profile=%s", profile)
		}
		if len(a.Enum) > 0 {
			fmt.Printf(" enum=%s", strings.Join(slices.Sorted(maps.Keys(a.Enum)), ","))
		}
		fmt.Println()
	}
	return nil
}

// numbers gives the fields that number an event's class the one value that they can have.
func (s schema) numbers(kind, name string, fields map[string]attribute) error {
	var categories struct{ Attributes map[string]struct{ UID int } }
	if err := read(&categories, s.root, "categories.json"); err != nil {
		return err
	}
	var o object
	category, class := "", 0
	for at := name; at != ""; at = o.Extends {
		o = object{}
		if err := read(&o, s.files[kind+at]); err != nil {
			return err
		}
		if at == name && o.UID != nil {
			class = *o.UID
		}
		if category == "" {
			category = o.Category
		}
	}
	for field, n := range map[string]int{"category_uid": categories.Attributes[category].UID, "class_uid": categories.Attributes[category].UID*1000 + class} {
		if a, ok := fields[field]; ok {
			a.Enum = map[string]any{fmt.Sprint(n): nil}
			fields[field] = a
		}
	}
	return nil
}

// sets are the field sets of ECS that the documents have.
var sets = []string{"base", "container", "ecs", "error", "event", "file", "host", "log", "orchestrator", "package", "process", "related", "rule", "threat", "user"}

// other are parts of these sets that have to do with other systems or programs.
var other = regexp.MustCompile(`^threat\.(enrichments|feed|group|indicator|software)\b|\.(elf|pe|macho|x509|geo|risk|entity|entry_leader|session_leader|group_leader|entry_meta|previous|attested_user|attested_groups|supplemental_groups|saved_user|saved_group|changes|target|io|responsible|cpu|disk|network|syslog|vpid)\b`)

func ecs(root string) error {
	f, err := os.Open(filepath.Join(root, "generated/csv/fields.csv"))
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return err
	}
	fmt.Printf("# ECS %s: names and types of fields, [] where the schema wants an array.\n", rows[1][0])
	fmt.Println("# Written by testdata/fields from the repository elastic/ecs.")
	var flat map[string]struct {
		AllowedValues []struct {
			Name  string   `yaml:"name"`
			Types []string `yaml:"expected_event_types"`
		} `yaml:"allowed_values"`
	}
	text, err := os.ReadFile(filepath.Join(root, "generated/ecs/ecs_flat.yml"))
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, &flat); err != nil {
		return err
	}
	for _, row := range rows[1:] {
		set, field, kind, array := row[2], row[3], row[4], row[6]
		if !slices.Contains(sets, set) || other.MatchString(field) {
			continue
		}
		if array == "array" {
			kind += "[]"
		}
		fmt.Printf("%s %s", field, kind)
		var values []string
		for _, v := range flat[field].AllowedValues {
			values = append(values, v.Name)
		}
		sort.Strings(values)
		if len(values) > 0 {
			fmt.Printf(" values=%s", strings.Join(values, ","))
		}
		fmt.Println()
	}
	for _, v := range flat["event.category"].AllowedValues {
		if v.Name == "driver" {
			fmt.Printf("# types of the category driver\ndriver types=%s\n", strings.Join(v.Types, ","))
		}
	}
	return nil
}
