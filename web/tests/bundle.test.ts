import { describe, expect, test } from "vitest";

const FILES = import.meta.glob<string>("../../pipecat_bots/client/*.{js,css,html}", {
  query: "?raw",
  import: "default",
  eager: true,
});
const MOST_CHARACTERS = 600_000;
/** Addresses that are text, never fetched: the command's own example, and two packages' home pages. */
const HARMLESS = ["http://localhost", "https://github.com/"];

describe("the built page", () => {
  test("is there, and small", () => {
    const names = Object.keys(FILES).map((path) => path.split("/").at(-1));
    expect(names.toSorted()).toEqual(["client.js", "index.css", "index.html"]);
    const size = Object.values(FILES).reduce((sum, text) => sum + text.length, 0);
    expect(size).toBeLessThan(MOST_CHARACTERS);
  });

  test("names no other host and no folder of the machine it was built on", () => {
    for (const text of Object.values(FILES)) {
      const addresses = text.match(/\b(?:https?|wss?):\/\/[\w.-]+\/?/g) ?? [];
      expect(addresses.filter((address) => !HARMLESS.some((known) => address.startsWith(known)))).toEqual([]);
      expect(text).not.toMatch(/node_modules|\/home\/|\/root\/|\/Users\//);
    }
  });

  test("asks for its files beside itself, so that it can be served under any path", () => {
    const html = FILES["../../pipecat_bots/client/index.html"] ?? "";
    const links = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map((match) => match[1]);
    expect(links.length).toBeGreaterThan(2);
    for (const link of links) expect(link).toMatch(/^\.\//);
  });
});
