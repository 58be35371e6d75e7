import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { defineConfig, type Plugin } from "vite";

/** The licences of what went into the bundle, collected from the packages themselves. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap((chunk) => (chunk.type === "chunk" ? chunk.moduleIds : []));
      const packages = new Set(modules.flatMap((id) => id.match(/^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/) ?? []));
      const texts = [...packages].map(licenceOf).toSorted();
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join(`\n${"-".repeat(72)}\n\n`) });
    },
  };
}

function licenceOf(folder: string): string {
  const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, unknown>;
  const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  const text = file ? readFileSync(join(folder, file), "utf8").trim() : "";
  return `${about["name"]} ${about["version"]}, ${about["license"]}\n\n${text}\n`;
}

export default defineConfig({
  base: "./",
  plugins: [licences()],
  resolve: {
    // The transport imports the SDK of a hosted service for a device manager this page does not use.
    alias: { "@daily-co/daily-js": new URL("src/no-hosted-service.ts", import.meta.url).pathname },
  },
  build: {
    outDir: "../pipecat_bots/client",
    emptyOutDir: true,
    sourcemap: false,
    modulePreload: false,
    rollupOptions: {
      output: {
        entryFileNames: "client.js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
  server: { proxy: { "/start": "http://localhost:7860", "/status": "http://localhost:7860", "/sessions": "http://localhost:7860" } },
});
