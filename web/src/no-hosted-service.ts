/** Stands in for the hosted service's SDK, so that no code that reaches for the internet is in the bundle. */
export default {};
