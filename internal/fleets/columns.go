package fleets

import (
	"strings"

	"github.com/kmodtrace/kmodtrace/fleet"
)

// WhoColumns are those of fleet who.
func WhoColumns() []Column[fleet.Sighting] {
	return []Column[fleet.Sighting]{
		{Name: "host", Heading: "HOST", Of: func(s *fleet.Sighting) string { return s.Host.Name }, Text: func(s *fleet.Sighting) string { return hostName(s.Host, s.Journal) }},
		{Name: "host_id", Of: func(s *fleet.Sighting) string { return s.Host.ID }},
		{Name: "journal", Of: func(s *fleet.Sighting) string { return s.Journal }},
		{Name: "first", Heading: "FIRST", Of: func(s *fleet.Sighting) string { return utc(s.First) }, Text: func(s *fleet.Sighting) string { return people(s.First) }},
		{Name: "last", Heading: "LAST", Of: func(s *fleet.Sighting) string { return utc(s.Last) }, Text: func(s *fleet.Sighting) string { return people(s.Last) }},
		{Name: "records", Heading: "RECORDS", Of: func(s *fleet.Sighting) string { return decimal(s.Records) }},
		{Name: "by", Heading: "BY", Of: func(s *fleet.Sighting) string { return strings.Join(s.By, " ") }, Text: func(s *fleet.Sighting) string { return dash(strings.Join(s.By, ",")) }},
		{Name: "outcomes", Heading: "OUTCOMES", Of: func(s *fleet.Sighting) string { return strings.Join(s.Outcomes, " ") }, Text: func(s *fleet.Sighting) string { return dash(strings.Join(s.Outcomes, ",")) }},
		{Name: "contents", Heading: "CONTENTS", Of: func(s *fleet.Sighting) string { return strings.Join(s.Contents, " ") }, Text: func(s *fleet.Sighting) string { return dash(shortAll(s.Contents)) }},
	}
}

// FirstColumns are those of fleet first-seen.
func FirstColumns() []Column[fleet.First] {
	return []Column[fleet.First]{
		{Name: "hosts", Heading: "HOSTS", Of: func(f *fleet.First) string { return decimal(f.Hosts) }, Text: func(f *fleet.First) string { return decimal(f.Hosts) + " of " + decimal(f.Of) }},
		{Name: "of", Of: func(f *fleet.First) string { return decimal(f.Of) }},
		{Name: "value", Heading: "WHAT", Of: func(f *fleet.First) string { return f.Value }, Text: func(f *fleet.First) string {
			if len(f.Value) == 64 {
				return short(f.Value)
			}
			return f.Value
		}},
		{Name: "modules", Heading: "MODULE", Of: func(f *fleet.First) string { return strings.Join(f.Modules, " ") }, Text: func(f *fleet.First) string { return dash(strings.Join(f.Modules, ",")) }},
		{Name: "first", Heading: "FIRST", Of: func(f *fleet.First) string { return utc(f.First) }, Text: func(f *fleet.First) string { return people(f.First) }},
		{Name: "last", Of: func(f *fleet.First) string { return utc(f.Last) }},
		{Name: "host", Heading: "HOST", Of: func(f *fleet.First) string { return f.Host.Name }, Text: func(f *fleet.First) string { return f.Host.String() }},
		{Name: "host_id", Of: func(f *fleet.First) string { return f.Host.ID }},
		{Name: "by", Heading: "BY", Of: func(f *fleet.First) string { return f.By }, Text: func(f *fleet.First) string { return dash(f.By) }},
	}
}

// LoadedRow is one module on one machine.
type LoadedRow struct {
	*fleet.Loaded
	fleet.LoadedModule
}

// LoadedRows give a row for each module.
func LoadedRows(all []fleet.Loaded) (rows []LoadedRow) {
	for i := range all {
		for _, m := range all[i].Modules {
			rows = append(rows, LoadedRow{&all[i], m})
		}
	}
	return rows
}

// LoadedColumns are those of fleet loaded.
func LoadedColumns() []Column[LoadedRow] {
	return []Column[LoadedRow]{
		{Name: "host", Heading: "HOST", Of: func(r *LoadedRow) string { return r.Host.Name }, Text: func(r *LoadedRow) string { return hostName(r.Host, r.Journal) }},
		{Name: "host_id", Of: func(r *LoadedRow) string { return r.Host.ID }},
		{Name: "kernel", Of: func(r *LoadedRow) string { return r.Host.Kernel }},
		{Name: "journal", Of: func(r *LoadedRow) string { return r.Journal }},
		{Name: "boot", Of: func(r *LoadedRow) string { return r.Boot }},
		{Name: "module", Heading: "MODULE", Of: func(r *LoadedRow) string { return r.Module }},
		{Name: "since", Heading: "SINCE", Of: func(r *LoadedRow) string { return utc(r.Since) }, Text: func(r *LoadedRow) string { return people(r.Since) }},
		{Name: "by", Heading: "BY", Of: func(r *LoadedRow) string { return r.By }, Text: func(r *LoadedRow) string { return dash(r.By) }},
		{Name: "content", Heading: "CONTENT", Of: func(r *LoadedRow) string { return r.Content }, Text: func(r *LoadedRow) string { return dash(short(r.Content)) }},
		{Name: "record", Heading: "RECORD", Of: func(r *LoadedRow) string { return decimal(r.Seq) }},
		{Name: "doubts", Of: func(r *LoadedRow) string { return strings.Join(r.Doubts, "; ") }},
	}
}

// DriftColumns are those of fleet drift.
func DriftColumns() []Column[fleet.Drift] {
	return []Column[fleet.Drift]{
		{Name: "host", Heading: "HOST", Of: func(d *fleet.Drift) string { return d.Host.Name }, Text: func(d *fleet.Drift) string { return hostName(d.Host, d.Journal) }},
		{Name: "host_id", Of: func(d *fleet.Drift) string { return d.Host.ID }},
		{Name: "journal", Of: func(d *fleet.Drift) string { return d.Journal }},
		{Name: "difference", Heading: "DIFFERENCE", Of: func(d *fleet.Drift) string { return string(d.Difference) }},
		{Name: "module", Heading: "MODULE", Of: func(d *fleet.Drift) string { return d.Module }},
		{Name: "hosts", Heading: "HOSTS", Of: func(d *fleet.Drift) string { return decimal(d.Hosts) }, Text: func(d *fleet.Drift) string { return decimal(d.Hosts) + " of " + decimal(d.Of) }},
		{Name: "of", Of: func(d *fleet.Drift) string { return decimal(d.Of) }},
		{Name: "group", Heading: "GROUP", Of: func(d *fleet.Drift) string { return d.Group }, Text: func(d *fleet.Drift) string { return dash(d.Group) }},
		{Name: "by", Heading: "BY", Of: func(d *fleet.Drift) string { return d.By }, Text: func(d *fleet.Drift) string { return dash(d.By) }},
		{Name: "content", Heading: "CONTENT", Of: func(d *fleet.Drift) string { return d.Content }, Text: func(d *fleet.Drift) string { return dash(short(d.Content)) }},
	}
}
