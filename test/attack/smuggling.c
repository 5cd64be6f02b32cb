/*
 * Two readings of one request: what the proxy takes for the body of an allowed POST, a server takes for a
 * request of its own, for a path that the policy denies. The server here reads each connection in every way
 * that servers are known to, and tells when one of them finds the smuggled request.
 */
#include "proxied.h"

#define POST HEAD("POST http://allowed.test:8080/public/submit", "allowed.test:8080")
#define POST_10                                                                                    \
	"POST http://allowed.test:8080/public/submit HTTP/1.0\r\nHost: allowed.test:8080\r\n"
/* Content-Length says that the body ends where the smuggled request begins; chunks go on. */
#define AS_CHUNK "80\r\n" SMUGGLED "\r\n0\r\n\r\n"
#define TE(header) POST "Content-Length: 4\r\n" header "\r\n" AS_CHUNK
/* The body is the smuggled request to who believes the length. */
#define CL(header) POST header "\r\n" SMUGGLED
#define CHUNKED(body) POST "Transfer-Encoding: chunked\r\n\r\n" body

_Static_assert(SMUGGLED_SIZE == 0x80, "as the chunk says");

static const struct attempt smuggling[] = {
	NEVER("te-cl", "Content-Length and Transfer-Encoding",
	      TE("Transfer-Encoding: chunked\r\n")),
	NEVER("cl-te", "the other way round",
	      POST "Content-Length: 133\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
	NEVER("te-space", "a blank before the colon", TE("Transfer-Encoding : chunked\r\n")),
	NEVER("te-tab", "a tab", TE("Transfer-Encoding:\tchunked\r\n")),
	NEVER("te-vtab", "a vertical tab", TE("Transfer-Encoding: \vchunked\r\n")),
	NEVER("te-folded", "a folded line", TE("Transfer-Encoding:\r\n chunked\r\n")),
	NEVER("te-twice", "two codings in two lines",
	      TE("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")),
	NEVER("te-list", "two codings in one line", TE("Transfer-Encoding: identity, chunked\r\n")),
	NEVER("te-last", "chunked that is not last",
	      TE("Transfer-Encoding: chunked, identity\r\n")),
	NEVER("te-odd", "a coding that only looks like it", TE("Transfer-Encoding: xchunked\r\n")),
	NEVER("te-quoted", "in quotes", TE("Transfer-Encoding: \"chunked\"\r\n")),
	NEVER("te-nul", "a NUL behind", TE("Transfer-Encoding: chunked" NUL "\r\n")),
	NEVER("te-lf", "after a bare LF", TE("X: y\nTransfer-Encoding: chunked\r\n")),
	NEVER("te-cr", "after a bare CR", TE("X: y\rTransfer-Encoding: chunked\r\n")),
	NEVER("te-1.0", "chunks in HTTP/1.0",
	      POST_10 "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" AS_CHUNK),
	NEVER("cl-twice", "two lengths", CL("Content-Length: 128\r\nContent-Length: 0\r\n")),
	NEVER("cl-list", "two lengths in one line", CL("Content-Length: 0, 128\r\n")),
	NEVER("cl-plus", "a length with a sign", CL("Content-Length: +128\r\n")),
	NEVER("cl-minus", "a negative length", CL("Content-Length: -1\r\n")),
	NEVER("cl-hex", "a length in hex", CL("Content-Length: 0x80\r\n")),
	NEVER("cl-wrap", "a length of 2^64 and 128",
	      CL("Content-Length: 18446744073709551744\r\n")),
	NEVER("cl-space", "a length with a blank in it", CL("Content-Length: 12 8\r\n")),
	NEVER("cl-empty", "an empty length", CL("Content-Length:\r\n")),
	NEVER("cl-folded", "a length in a folded line", CL("Content-Length: 0\r\n 128\r\n")),
	NEVER("cl-colon-space", "a blank before the colon", CL("Content-Length : 128\r\n")),
	NEVER("cl-lf", "a length after a bare LF",
	      CL("X: y\nContent-Length: 128\r\nContent-Length: 0\r\n")),
	NEVER("head-lf", "a head that ends with bare LFs",
	      "POST http://allowed.test:8080/public/submit HTTP/1.1\nHost: "
	      "allowed.test:8080\nContent-Length: 0\n\n" SMUGGLED),
	NEVER("head-lf-end", "an empty line in the head of a bare LF",
	      POST "X: y\n\n" SMUGGLED "\r\n"),
	NEVER("head-nul", "a NUL in a header", CL("X: a" NUL "b\r\n")),
	NEVER("header-space", "a header before which a blank stands",
	      POST " Content-Length: 128\r\n\r\n" SMUGGLED),
	NEVER("chunk-wrap", "a chunk of 2^64 bytes", CHUNKED("10000000000000000\r\n\r\n" SMUGGLED)),
	NEVER("chunk-hex", "a chunk of 0x80", CHUNKED("0x80\r\n" SMUGGLED "\r\n0\r\n\r\n")),
	NEVER("chunk-lf", "chunk lines that end with bare LFs", CHUNKED("2\nxx\n0\n\n" SMUGGLED)),
	NEVER("chunk-ext-lf", "a bare LF in a chunk's extension",
	      CHUNKED("2;\nxx\r\n85\r\n0\r\n\r\n" SMUGGLED "\r\n0\r\n\r\n")),
	NEVER("chunk-minus", "a chunk of -1 bytes", CHUNKED("-1\r\n\r\n" SMUGGLED)),
	NEVER("chunk-nothing", "a chunk line without a number", CHUNKED("\r\n\r\n" SMUGGLED)),
	{.name = "connection-length",
	 .what = "have Content-Length removed as a header of the connection",
	 .try = ask_proxy,
	 .with = CL("Connection: content-length\r\nContent-Length: 128\r\n"),
	 .uncontrolled = "needs a proxy that removes what Connection names"},
	{.name = "connection-te",
	 .what = "the same with Transfer-Encoding",
	 .try = ask_proxy,
	 .with = POST
	 "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n" AS_CHUNK,
	 .uncontrolled = "needs a proxy that removes what Connection names"},
	NEVER("crlf-path", "CR and LF in a path, encoded",
	      GET("http://allowed.test:8080/public/%20HTTP/"
		  "1.1%0d%0aHost:%20allowed.test:8080%0d%0a%0d%"
		  "0aGET%20/admin/" TOKEN,
		  "allowed.test:8080")),
	NEVER("cr-header", "a request behind bare CRs",
	      HEAD("GET http://allowed.test:8080/public/x",
		   "allowed.test:8080") "X: y\r\rGET /admin/" TOKEN
					" HTTP/1.1\rHost: allowed.test:8080\r\n\r\n"),
	NEVER("expect", "a body while the server is asked whether it wants one",
	      POST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n" SMUGGLED),
};
GROUP(group_smuggling, "Request smuggling", smuggling);
