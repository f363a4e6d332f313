"""Where and when trials run: inline or on Ray; failure policy, resources, progress. The only room that imports ray."""
