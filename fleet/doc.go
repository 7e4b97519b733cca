// Package fleet asks the records of many machines: whether they are complete and what was
// written, which machines have a module, what is new anywhere, what was loaded when, and which
// machines differ from the others.
//
//	f, err := fleet.Open("https://logs.example:9428", "/srv/journals")
//	…
//	report, err := f.Verify(ctx, nil)
//
// A source is a directory of journals or one of them, a file of JSON lines (what an output of
// kmodtrace serve writes, what a Collector's file exporter writes, or what VictoriaLogs
// exports), or the URL of a VictoriaLogs. Several are asked as one: where two of them have another record of one
// number, the journal has two histories.
//
// Records are read as a stream. What is kept in memory grows with the machines and with what
// they load, not with the records; [Fleet.Verify] sorts in a temporary file.
//
// # Identity
//
// A machine is known by a hash of its machine-id and by its name, a journal by the name that it
// got at random, a run of the kernel by its boot id. A copy of a machine has its machine-id, and
// perhaps its journal: two journals of one machine that were written at the same time, or one
// that goes on twice, tell of it.
package fleet
