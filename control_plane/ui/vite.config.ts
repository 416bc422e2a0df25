import { promises as files } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const ASSETS = path.resolve(import.meta.dirname, "dist/assets");

/** Writes a `.br` and a `.gz` beside each script and style, so that the server never compresses. */
function compressed(): Plugin {
  return {
    name: "compressed",
    async closeBundle() {
      for (const name of await files.readdir(ASSETS)) {
        if (!/\.(js|css|svg)$/.test(name)) continue;
        const content = await files.readFile(path.join(ASSETS, name));
        await files.writeFile(path.join(ASSETS, `${name}.br`), await promisify(brotliCompress)(content));
        await files.writeFile(path.join(ASSETS, `${name}.gz`), await promisify(gzip)(content, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), compressed()],
  // The server puts a fresh nonce here in each answer: control_plane/panel/headers.py says the same name.
  html: { cspNonce: "GATEHOUSE_NONCE" },
  build: {
    outDir: "dist",
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
  resolve: { alias: { "@": path.resolve(import.meta.dirname, "src") } },
  // `npx vite` serves the sources, with the API of a running `scripts/up` behind them.
  server: { port: 5173, proxy: { "/api": { target: "http://127.0.0.1:8080", changeOrigin: true } } },
});
