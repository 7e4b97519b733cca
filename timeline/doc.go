// Package timeline draws an action of the kernel to scale: what happened between a system
// call and a live module, or a refusal; when, for how long, and what was printed
// meanwhile; where the bytes went, and who provided the symbols.
//
// A [Picture] is made of records, and of [Facts] where somebody has gathered them. It is
// rendered as lines for a terminal ([Picture.Text]), as a picture ([Picture.SVG]) and as a
// page ([Picture.HTML]). These have everything in them: they load nothing, and run nothing.
//
// The axis is linear. Where one stage takes almost all of the time, the axis is broken
// inside that stage, which is marked; what is shorter than the smallest thing that can be drawn
// has a mark of its own; and each time is there as a number too. What is not known is drawn
// as unknown, and said: nothing is filled in.
//
// The page is made by html/template. The drawings are written here, because libraries that
// draw charts draw series of numbers; what is needed is rectangles, lines and text on an axis
// that can break inside one bar. The golden files are whole, with their styles, because
// `make screenshots` shows these very files in a browser, and README.md shows one of them.
//
// Names, paths and messages are the words of strangers: whatever they are, they come out as
// text, with escapes for what is not printable.
package timeline
