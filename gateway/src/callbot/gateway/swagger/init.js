// The document lies beside this page; nothing is asked of any other host, the validator's badge included.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  filter: true,
  persistAuthorization: false,
  syntaxHighlight: { activated: true, theme: "agate" },
  tryItOutEnabled: true,
  validatorUrl: null,
});
