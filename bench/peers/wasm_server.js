// SPDX-License-Identifier: Apache-2.0
//
// peer.wasm: `node wasm_server.js MODULE` compiles the module once and serves requests on a listening AF_UNIX stream
// socket, its standard input. Each request gets an instance of its own, with fresh linear memory: it starts, answers, and is
// left to the collector. A message in either direction is eight bytes of length and that many bytes; it has no status.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const net = require('net');

const HEADER = 8;
const compiled = new WebAssembly.Module(fs.readFileSync(process.argv[2]));

// Distinguishes a module's exit from its traps.
class Exit extends Error {}

// Serves one request in a new instance.
function invoke(request) {
	let memory;
	let read = 0;
	const answer = [];
	const bytes = (at, length) => new Uint8Array(memory.buffer, at >>> 0, length >>> 0);
	const imports = {
		read(to, length) {
			const piece = request.subarray(read, read + (length >>> 0));
			bytes(to, piece.length).set(piece);
			read += piece.length;
			return piece.length;
		},
		length: () => request.length,
		// A copy, because the instance may write there again.
		write: (from, length) => { answer.push(Buffer.from(bytes(from, length))); },
		log: (from, length) => { process.stderr.write(Buffer.concat([Buffer.from(bytes(from, length)), Buffer.from('\n')])); },
		random: (to, length) => { crypto.randomFillSync(bytes(to, length)); },
		time: (sinceEpoch) => sinceEpoch ? Date.now() * 1e6 : Number(process.hrtime.bigint()),
		exit: () => { throw new Exit(); },
	};
	const instance = new WebAssembly.Instance(compiled, { thaw: imports });

	memory = instance.exports.memory;
	try {
		instance.exports.start();
	} catch (error) {
		if (!(error instanceof Exit))
			throw error;
	}
	return answer;
}

function respond(socket, request) {
	const pieces = invoke(request);
	const header = Buffer.alloc(HEADER);

	header.writeBigUInt64LE(BigInt(pieces.reduce((sum, piece) => sum + piece.length, 0)));
	socket.write(Buffer.concat([header, ...pieces]));
}

function serve(socket) {
	let pieces = [], have = 0, want = HEADER;

	socket.on('data', (piece) => {
		pieces.push(piece);
		have += piece.length;
		// Pieces are joined when the request is complete: a large one comes in hundreds of pieces.
		while (have >= want) {
			const all = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
			const end = HEADER + Number(all.readBigUInt64LE());

			pieces = [all];
			want = end;
			if (have < end)
				break;
			respond(socket, all.subarray(HEADER, end));
			pieces = [all.subarray(end)];
			have -= end;
			want = HEADER;
		}
	});
	socket.on('error', () => socket.destroy());
}

net.createServer(serve).listen({ fd: 0 });
